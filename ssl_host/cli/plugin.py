"""``ssl-host plugin``."""

from __future__ import annotations

import click

from ssl_host.cli.options import Session, echo_json, json_option, pass_session, session_options

_COLOURS = {"ready": "green", "broken": "red", "blocked": "yellow"}


@click.group()
def plugin() -> None:
    """The installed plugins."""


@plugin.command("list")
@json_option
@session_options
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """All plugins, what they register, and what is wrong with those that are broken."""
    plugins = session.catalog().plugins
    if as_json:
        echo_json(
            [
                {
                    "plugin": p.origin.plugin,
                    "distribution": p.origin.distribution,
                    "version": p.origin.version,
                    "module": p.module,
                    "state": p.state,
                    "reason": p.reason,
                    "components": [{"kind": kind, "name": name} for kind, name in p.components],
                }
                for p in plugins
            ]
        )
        return
    width = max(len(p.origin.plugin) for p in plugins)
    for p in plugins:
        state = click.style(f"{p.state:<7}", fg=_COLOURS[p.state])
        names = ", ".join(f"{kind} {name}" for kind, name in p.components if kind != "preset")
        if len(p.components) > 8:
            names = f"{len(p.components)} components"
        click.echo(f"{p.origin.plugin:<{width}}  {state}  {p.origin}  {p.reason or names}")

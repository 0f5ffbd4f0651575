"""``ssl-host plugin``: list the installed plugins and create new ones."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ssl_host.cli.groups import CommandGroup
from ssl_host.cli.options import Session, echo_json, json_option, pass_session, session_options

_COLOURS = {"ready": "green", "broken": "red", "blocked": "yellow"}


@click.group(cls=CommandGroup)
def plugin() -> None:
    """List, check and create plugins."""


@plugin.command("list")
@json_option
@session_options
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List all plugins with their components, or with the reason why they are broken."""
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


@plugin.command()
@click.argument("name")
@click.option(
    "--kind",
    default="method",
    show_default=True,
    metavar="KIND",
    help="Kind of the component to create: method, backbone, augmentation, ...",
)
@click.option(
    "--like",
    type=click.Choice(("contrastive", "masked", "teacher")),
    help="For a method: the example to start from; default: contrastive.",
)
@click.option(
    "--dir",
    "parent",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Folder in which to create the plugin's folder; default: the current folder.",
)
@session_options
@pass_session
def new(session: Session, name: str, kind: str, like: str | None, parent: Path) -> None:
    """Create a plugin package NAME with a working component, tests and a configuration."""
    from ssl_host.scaffold.new import plan_plugin, write_plugin  # noqa: PLC0415 - for a fast start

    planned = plan_plugin(name, kind, session.catalog(), like)
    folder, files = write_plugin(planned, parent)
    if planned.distribution != name:
        click.echo(
            f"the package is named {planned.distribution}, because plugin names start with "
            "ssl-plugin-"
        )
    click.echo(f"written to {folder}:")
    for file in files:
        click.echo(f"  {file}")
    path = shlex.quote(str(folder))
    installable = path if folder.is_absolute() else shlex.quote(f"./{folder}")
    click.echo("\nnext:")
    click.echo(f"  pip install -e {installable} {' '.join(planned.test_requirements)}")
    click.echo(f"  pytest {path}")
    click.echo(f"  ssl-host component show {planned.kind} {planned.name}")
    click.echo(f"  ssl-host run {shlex.quote(str(folder / 'config.ini'))}")

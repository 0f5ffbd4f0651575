"""``ssl-host component``: list and describe the installed components."""

from __future__ import annotations

import inspect

import click

from ssl_host.cli.groups import CommandGroup
from ssl_host.cli.options import Session, echo_json, json_option, pass_session, session_options

SHOWN_ATTRIBUTES = ("heads", "ema", "encoder", "supports_multicrop", "uses_labels")
"""Attributes of a method class that ``component show`` prints if they are set."""


@click.group(cls=CommandGroup)
def component() -> None:
    """List and describe the components that a configuration can use."""


@component.command("list")
@click.argument("kind", required=False)
@json_option
@session_options
@pass_session
def list_(session: Session, kind: str | None, as_json: bool) -> None:
    """List all components and presets, or only the components of one KIND."""
    from ssl_host.catalog.discovery import did_you_mean  # noqa: PLC0415 - for a fast start
    from ssl_host.contracts.kinds import KINDS  # noqa: PLC0415

    kinds = [*KINDS, "preset"]
    if kind is not None and kind not in kinds:
        hint = did_you_mean(kind, kinds) or f"; the kinds are {', '.join(kinds)}"
        raise click.UsageError(f"unknown kind {kind!r}{hint}")
    entries = session.catalog().entries(kind)
    if as_json:
        echo_json(
            [
                {
                    "kind": e.kind,
                    "name": e.name,
                    "summary": e.summary,
                    "distribution": e.origin.distribution,
                    "version": e.origin.version,
                }
                for e in entries
            ]
        )
        return
    width = max((len(e.name) for e in entries), default=0)
    previous_kind = None
    for entry in entries:
        if entry.kind != previous_kind:
            heading = click.style(entry.kind, bold=True)
            click.echo(heading if previous_kind is None else f"\n{heading}")
            previous_kind = entry.kind
        click.echo(f"  {entry.name:<{width}}  {entry.summary}  ({entry.origin})")


@component.command()
@click.argument("kind")
@click.argument("name")
@json_option
@session_options
@pass_session
def show(session: Session, kind: str, name: str, as_json: bool) -> None:
    """Describe one component: its recipe, and the type, default and bounds of each setting.

    For a method, this also shows its heads and their inputs, its EMA copies, and whether it
    supports multi-crop views.
    """
    from ssl_host.config.display import describe_settings  # noqa: PLC0415 - for a fast start
    from ssl_host.config.values import format_recipe_value  # noqa: PLC0415

    cls = session.catalog().load(kind, name)
    entry = session.catalog().find(kind, name)
    settings = describe_settings(cls.Config)
    recipe = getattr(cls, "recipe", {})
    declared = {n: getattr(cls, n) for n in SHOWN_ATTRIBUTES if getattr(cls, n, None)}
    if as_json:
        header = {"kind": kind, "name": name, "origin": str(entry.origin), "settings": settings}
        echo_json({**header, "recipe": recipe, "declares": declared})
        return
    click.echo(click.style(f"{kind} {name}", bold=True) + f"  ({entry.origin})")
    click.echo(inspect.getdoc(cls) or "")
    if settings:
        click.echo(f"\n[{kind}]\nname = {name}")
    for setting in settings:
        default = "(required)" if setting["required"] else setting["default"]
        click.echo(f"{setting['name']} = {default}")
        click.echo(f"    {setting['type']}{setting['bounds']}: {setting['description']}")
    for attribute, value in declared.items():
        click.echo(f"\n{attribute}: {value}", nl=False)
    click.echo("\n" if declared else "", nl=False)
    if recipe:
        click.echo("\nIts recipe (a configuration may override any of these values):")
    for section, values in recipe.items():
        click.echo(f"\n[{section}]")
        for key, value in values.items():
            click.echo(f"{key} = {format_recipe_value(value)}")

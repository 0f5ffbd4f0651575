"""What all commands share: blocking plugins, tracebacks, overriding values, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ssl_host.catalog.catalog import Catalog

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """What was said on the command line besides the command's own options."""

    blocked: list[str] = field(default_factory=list)
    traceback: bool = False
    json: bool = False
    _catalog: Catalog | None = None

    def catalog(self) -> Catalog:
        """The installed plugins, found once."""
        from ssl_host.catalog.catalog import Catalog  # noqa: PLC0415 - start-up is counted

        if self._catalog is None:
            self._catalog = Catalog(self.blocked)
        return self._catalog


def _block(ctx: click.Context, _: click.Parameter, names: tuple[str, ...]) -> None:
    for name in names:
        if not name.startswith("no:") or name == "no:":
            raise click.BadParameter("expected no:NAME, the plugin that is not to be loaded")
        ctx.ensure_object(Session).blocked.append(name[3:])


def _trace(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.ensure_object(Session).traceback = True


def session_options(command: F) -> F:
    """``-p no:NAME`` and ``--traceback``, before or after the command."""
    command = click.option(
        "-p",
        "plugins",
        multiple=True,
        metavar="no:NAME",
        expose_value=False,
        callback=_block,
        help="Do not load this plugin.",
    )(command)
    return click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        callback=_trace,
        help="Show where an error was raised.",
    )(command)


override_option = click.option(
    "-o",
    "options",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override a value of the file; may be given often.",
)


def _as_json(ctx: click.Context, _: click.Parameter, wanted: bool) -> bool:
    ctx.ensure_object(Session).json |= wanted
    return wanted


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_as_json, help="Print JSON; a failure too."
)

pass_session = click.make_pass_decorator(Session, ensure=True)


def echo_json(value: Any) -> None:
    """Print JSON for other programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))

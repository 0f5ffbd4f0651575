"""Options that commands share: blocked plugins, tracebacks, overridden values, JSON."""

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
    """State of one command line: the options that all commands share, and the catalog.

    Attributes:
        blocked: plugins not to load (``-p no:NAME``).
        traceback: show the traceback of an error.
        json: print an error as JSON too, because the output of the command is JSON.
        has_plugin_commands: plugins have added their commands already.
    """

    blocked: list[str] = field(default_factory=list)
    traceback: bool = False
    json: bool = False
    has_plugin_commands: bool = False
    _catalog: Catalog | None = None

    def catalog(self) -> Catalog:
        """Return the installed plugins and their components, discovered once."""
        from ssl_host.catalog.catalog import Catalog  # noqa: PLC0415 - for a fast start

        if self._catalog is None:
            self._catalog = Catalog(self.blocked)
        return self._catalog

    def block(self, plugin: str) -> None:
        """Do not load a plugin."""
        self.blocked.append(plugin)
        self._catalog = None


def _block_plugins(ctx: click.Context, _: click.Parameter, names: tuple[str, ...]) -> None:
    for name in names:
        if not name.startswith("no:") or name == "no:":
            raise click.BadParameter("expected no:NAME, the name of a plugin not to load")
        ctx.ensure_object(Session).block(name.removeprefix("no:"))


def _show_traceback(ctx: click.Context, _: click.Parameter, is_set: bool) -> None:
    if is_set:
        ctx.ensure_object(Session).traceback = True


def session_options(command: F) -> F:
    """Add ``-p no:NAME`` and ``--traceback`` to a command; both also work before its name."""
    command = click.option(
        "-p",
        "plugins",
        multiple=True,
        is_eager=True,  # --help lists the commands of plugins
        metavar="no:NAME",
        expose_value=False,
        callback=_block_plugins,
        help="Do not load this plugin.",
    )(command)
    return click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        callback=_show_traceback,
        help="Show the traceback of an error.",
    )(command)


override_option = click.option(
    "-o",
    "options",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override a value of the file; repeatable.",
)
"""The option ``-o``; the command gets ``options: tuple[str, ...]``."""


def _set_json(ctx: click.Context, _: click.Parameter, is_set: bool) -> bool:
    ctx.ensure_object(Session).json |= is_set
    return is_set


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_set_json, help="Print JSON, also for errors."
)
"""The option ``--json``; the command gets ``as_json: bool``."""

pass_session = click.make_pass_decorator(Session, ensure=True)
"""Decorator that hands the :class:`Session` to a command as its first argument."""


def echo_json(value: Any) -> None:
    """Print a value as indented JSON; other objects than JSON's are printed as text."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))

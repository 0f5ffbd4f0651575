"""Options shared by several commands: ``-p``, ``--traceback``, ``-o`` and ``--json``."""

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
    """State of one ``ssl-host`` invocation: options shared by all commands, and the catalog.

    Attributes:
        blocked: the names of the plugins that are not loaded (``-p no:NAME``).
        traceback: True if errors are shown with a traceback.
        json: True if errors are also printed as JSON, because the output of the command is JSON.
        has_plugin_commands: True once plugins have added their commands.
    """

    blocked: list[str] = field(default_factory=list)
    traceback: bool = False
    json: bool = False
    has_plugin_commands: bool = False
    _catalog: Catalog | None = None

    def catalog(self) -> Catalog:
        """Return the catalog of installed plugins and components, which is created on first use."""
        from ssl_host.catalog.catalog import Catalog  # noqa: PLC0415 - for a fast start

        if self._catalog is None:
            self._catalog = Catalog(self.blocked)
        return self._catalog

    def block(self, plugin: str) -> None:
        """Block a plugin by name, so that it is not loaded."""
        self.blocked.append(plugin)
        self._catalog = None


def _block_plugins(ctx: click.Context, _: click.Parameter, names: tuple[str, ...]) -> None:
    """Block the plugins in the options ``-p no:NAME``; raise BadParameter for another form."""
    for name in names:
        if not name.startswith("no:") or name == "no:":
            raise click.BadParameter(
                f"expected no:NAME, where NAME is a plugin to block, not {name!r}"
            )
        ctx.ensure_object(Session).block(name.removeprefix("no:"))


def _show_traceback(ctx: click.Context, _: click.Parameter, is_set: bool) -> None:
    if is_set:
        ctx.ensure_object(Session).traceback = True


def session_options(command: F) -> F:
    """Return a command with the options ``-p no:NAME`` and ``--traceback`` (a decorator)."""
    command = click.option(
        "-p",
        "plugins",
        multiple=True,
        is_eager=True,  # before --help, which lists plugin commands
        metavar="no:NAME",
        expose_value=False,
        callback=_block_plugins,
        help="Do not load the plugin NAME; repeatable.",
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
    help="Override a value of the configuration; repeatable.",
)
"""Decorator that adds the option ``-o``; the command receives ``options: tuple[str, ...]``."""


def _set_json(ctx: click.Context, _: click.Parameter, is_set: bool) -> bool:
    """Make the session also print errors as JSON if the flag is set, and return the flag."""
    ctx.ensure_object(Session).json |= is_set
    return is_set


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_set_json,
    help="Print the result or an error as JSON.",
)
"""Decorator that adds the option ``--json``; the command receives ``as_json: bool``."""

pass_session = click.make_pass_decorator(Session, ensure=True)
"""Decorator that passes the :class:`Session` to a command as its first argument."""


def echo_json(value: Any) -> None:
    """Print a value as indented JSON; objects without a JSON type are converted to text."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))

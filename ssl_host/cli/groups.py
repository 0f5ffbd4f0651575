"""Define groups of commands to which plugins can add commands."""

from __future__ import annotations

import copy
from typing import Any

import click

from ssl_host.catalog.discovery import did_you_mean
from ssl_host.catalog.official import official_distribution
from ssl_host.cli.options import Session


class CommandGroup(click.Group):
    """Group of commands to which plugins can add commands and groups.

    The hook ``register_commands`` receives the root group, ``ssl-host``. It is called only when a
    command is not found or when the help lists all commands, so that the host's own commands
    start without importing any plugin.
    """

    group_class = type
    """Setting of click that makes ``@cli.group()`` create groups of this class too."""

    def subgroup(self, name: str, help: str = "") -> CommandGroup:
        """Return the group of this name; create it if it does not exist.

        Args:
            name: the name of the group, such as ``data`` for ``ssl-host data ...``.
            help: the text for ``--help``; used only if the group is created.

        Raises:
            ValueError: if ``name`` is a command, not a group.
        """
        existing = self.commands.get(name)
        if existing is None:
            created = CommandGroup(name, help=help)
            self.add_command(created)
            return created
        if not isinstance(existing, CommandGroup):
            raise ValueError(f"{name!r} is a command, not a group of commands")
        return existing

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command to the group; an existing command is never replaced.

        Raises:
            ValueError: if the group already has a command of that name.
        """
        name = name or cmd.name
        if name in self.commands:
            raise ValueError(f"the command {name!r} already exists")
        super().add_command(cmd, name)

    def independent_copy(self) -> CommandGroup:
        """Return a copy to which commands can be added without changing this group."""
        duplicate = copy.copy(self)
        duplicate.commands = {
            name: command.independent_copy() if isinstance(command, CommandGroup) else command
            for name, command in self.commands.items()
        }
        return duplicate

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name, or None; plugins are asked for it if no command has it yet."""
        if cmd_name not in self.commands:
            _add_plugin_commands(ctx)
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, including plugin commands."""
        _add_plugin_commands(ctx)
        return super().list_commands(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command named in the arguments, and the remaining arguments.

        Raises:
            UsageError: if there is no such command; the message suggests a similar name or the
                distribution to install.
        """
        name = args[0]
        if not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            ctx.fail(_unknown_command_message(ctx, name, self.commands))
        return super().resolve_command(ctx, args)


def _unknown_command_message(ctx: click.Context, name: str, known: Any) -> str:
    """Return the message for an unknown command; suggest a similar name or a plugin to install."""
    full_name = " ".join([*ctx.command_path.split()[1:], name])
    message = f"unknown command {full_name!r}"
    distribution = official_distribution("command", full_name)
    if distribution is None:
        return message + did_you_mean(name, known)
    for plugin in ctx.ensure_object(Session).catalog().plugins:
        if plugin.origin.distribution == distribution and plugin.state != "ready":
            return f"{message}; its plugin {plugin.origin} is {plugin.state}: {plugin.reason}"
    return f"{message}; it is part of {distribution}: pip install {distribution}"


def _add_plugin_commands(ctx: click.Context) -> None:
    """Call the hook with which plugins add commands, once per invocation."""
    session = ctx.ensure_object(Session)
    if session.has_plugin_commands:
        return
    session.has_plugin_commands = True
    try:
        session.catalog().call("register_commands", cli=ctx.find_root().command)
    except Exception as error:  # the host's own commands still work
        click.echo(f"warning: {error}", err=True)

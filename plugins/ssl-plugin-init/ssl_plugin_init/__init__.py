"""Commands `ssl-host data describe` and `ssl-host init`, for a folder of one's own images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssl_host import hookimpl

if TYPE_CHECKING:
    from ssl_host import CommandGroup

ssl_host_api = 1


@hookimpl
def register_commands(cli: CommandGroup) -> None:
    from ssl_plugin_init.command import describe, init  # noqa: PLC0415 - keeps start-up short

    cli.add_command(init)
    cli.subgroup("data", help="Prepare data sets.").add_command(describe)

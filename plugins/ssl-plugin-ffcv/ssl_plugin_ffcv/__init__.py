"""Data source for images packed into FFCV files, and the command that packs them."""

from __future__ import annotations

from ssl_host import CommandGroup, Register, hookimpl

ssl_host_api = 1


@hookimpl
def register_data(register: Register) -> None:
    register(
        "ffcv",
        "ssl_plugin_ffcv.source:FFCV",
        "images packed by `ssl-host data pack`, decoded in threads",
    )


@hookimpl
def register_commands(cli: CommandGroup) -> None:
    from ssl_plugin_ffcv.command import pack  # noqa: PLC0415 - for a fast start

    cli.subgroup("data", help="Prepare data sets.").add_command(pack)

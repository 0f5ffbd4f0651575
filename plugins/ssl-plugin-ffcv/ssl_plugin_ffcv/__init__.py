"""Packed JPEG stores of FFCV as data sources of ssl-host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssl_host import Register, hookimpl

if TYPE_CHECKING:
    import click

ssl_host_api = 1


@hookimpl
def register_data(register: Register) -> None:
    register(
        "ffcv",
        "ssl_plugin_ffcv.source:FFCV",
        "images packed by `ssl-host data pack`, decoded in threads",
    )


@hookimpl
def register_commands(cli: click.Group) -> None:
    from ssl_plugin_ffcv.command import add_to  # noqa: PLC0415 - start-up is counted

    add_to(cli)

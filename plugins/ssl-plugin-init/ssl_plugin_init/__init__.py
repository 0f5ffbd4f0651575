"""Commands `ssl-host data describe` and `ssl-host init`, for a folder of one's own images."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssl_host import hookimpl

if TYPE_CHECKING:
    from ssl_host import CommandGroup
    from ssl_plugin_init.description import DataDescription as DataDescription
    from ssl_plugin_init.init import Proposal as Proposal
    from ssl_plugin_init.init import propose as propose
    from ssl_plugin_init.sources import describe as describe

ssl_host_api = 1

_PUBLIC = {
    "DataDescription": "description",
    "Proposal": "init",
    "describe": "sources",
    "propose": "init",
}
"""Modules of the public names; they import torch, so they are imported on first use."""


def __getattr__(name: str) -> Any:
    """Return a public name."""
    if name in _PUBLIC:
        return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def register_commands(cli: CommandGroup) -> None:
    from ssl_plugin_init.command import describe, init  # noqa: PLC0415 - keeps start-up short

    cli.add_command(init)
    cli.subgroup("data", help="Prepare data sets.").add_command(describe)

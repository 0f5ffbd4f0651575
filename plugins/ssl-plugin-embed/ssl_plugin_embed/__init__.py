"""Compute the features of any number of images and write them to one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ssl_host import hookimpl

if TYPE_CHECKING:
    from ssl_host import CommandGroup
    from ssl_plugin_embed.embedding import Embedding as Embedding
    from ssl_plugin_embed.embedding import embed as embed

ssl_host_api = 1

_PUBLIC = ("Embedding", "embed")


def __getattr__(name: str) -> Any:
    """Return a public name; its module, which imports torch, is imported on first use."""
    if name in _PUBLIC:
        from ssl_plugin_embed import embedding  # noqa: PLC0415 - imports torch

        return getattr(embedding, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def register_commands(cli: CommandGroup) -> None:
    """Add the command ``ssl-host embed``."""
    from ssl_plugin_embed.command import embed_command  # noqa: PLC0415 - for the command line only

    cli.add_command(embed_command)

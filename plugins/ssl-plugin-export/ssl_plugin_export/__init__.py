"""Export trained backbones to timm, torchvision, the Hugging Face Hub and ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssl_host import Register, hookimpl

if TYPE_CHECKING:
    from ssl_host import CommandGroup

ssl_host_api = 1


@hookimpl
def register_exporters(register: Register) -> None:
    """Register the formats of ``ssl-host export RUN --to FORMAT``."""
    register("onnx", "ssl_plugin_export.onnx:OnnxExporter", "ONNX graph, checked in onnxruntime")
    register(
        "huggingface",
        "ssl_plugin_export.huggingface:HuggingFaceExporter",
        "folder for the Hugging Face Hub, for use with timm",
    )
    register(
        "library",
        "ssl_plugin_export.library:LibraryExporter",
        "weights for the library that the backbone comes from, such as timm",
    )


@hookimpl
def register_commands(cli: CommandGroup) -> None:
    """Add the command ``ssl-host export``."""
    from ssl_plugin_export.command import export  # noqa: PLC0415 - only for the command line

    cli.add_command(export)

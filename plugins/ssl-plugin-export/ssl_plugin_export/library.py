"""Exporter that writes weights for the library that the backbone comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ssl_host import Backbone, Exporter, ModelCard, write_tensors
from ssl_plugin_export.usage import torch_usage


class LibraryExporter(Exporter):
    """Exporter that writes weights for the library that the backbone comes from."""

    main_file = "backbone.safetensors"

    def refusal(self, backbone: Backbone) -> str:
        if "code" in backbone.export()[1]:
            return ""
        return "the backbone is not a model of a library such as timm or torchvision"

    def write(self, backbone: Backbone, folder: Path, properties: Mapping[str, str]) -> ModelCard:
        module, about = backbone.export()
        write_tensors(folder / self.main_file, module.state_dict())
        lines = [
            "import torch",
            "from safetensors.torch import load_file",
            *about["code"],
            f'model.load_state_dict(load_file("{self.main_file}"))',
        ]
        return ModelCard(torch_usage(backbone, "\n".join(lines)))

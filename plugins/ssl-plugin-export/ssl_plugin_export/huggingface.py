"""Exporter that writes a folder for the Hugging Face Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from ssl_host import Backbone, Exporter, ModelCard, write_tensors
from ssl_plugin_export.usage import torch_usage

MODEL_CODE = """\
import timm
import torch

model = timm.create_model("local-dir:.", pretrained=True)"""

CROP_MODES = {"crop": "center", "squash": "squash", "pad": "border"}
"""Maps how the run made its images square to timm's ``crop_mode``."""


class HuggingFaceExporter(Exporter):
    """Exporter that writes a folder for timm to load from disk or the Hugging Face Hub."""

    main_file = "model.safetensors"

    def refusal(self, backbone: Backbone) -> str:
        if "hub" in backbone.export()[1]:
            return ""
        return "the Hugging Face format supports only timm models with unchanged layers"

    def write(self, backbone: Backbone, folder: Path, properties: Mapping[str, str]) -> ModelCard:
        module, about = backbone.export()
        write_tensors(folder / self.main_file, module.state_dict())
        input_config = {
            "input_size": [backbone.in_channels, backbone.image_size, backbone.image_size],
            "mean": list(backbone.mean),
            "std": list(backbone.std),
            # Same as in the evaluation of the run: nothing is cut off the square.
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": CROP_MODES[backbone.fit],
        }
        hub = about["hub"]
        config = {**hub, "pretrained_cfg": {**hub.get("pretrained_cfg", {}), **input_config}}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return ModelCard(
            torch_usage(backbone, MODEL_CODE),
            " ".join(
                (
                    "After uploading to the Hugging Face Hub, replace `local-dir:.` with "
                    "`hf-hub:USER/NAME`.",
                    *_transform_notes(backbone),
                )
            ),
            {
                "library_name": "timm",
                "pipeline_tag": "image-feature-extraction",
                "tags": ["timm", "self-supervised-learning", properties["method"]],
            },
        )


def _transform_notes(backbone: Backbone) -> Iterator[str]:
    """Yield a sentence for each way in which timm's transforms differ from the run's images."""
    if backbone.fit == "pad":
        yield (
            "timm's transforms add bars of the mean colour, but those of the run were black: to "
            "get the same features, pad images with black before the transforms."
        )
    if backbone.value_range is not None:
        yield (
            "timm's transforms do not know the range of pixel values that the run used: scale "
            "images as described under Input before the transforms."
        )

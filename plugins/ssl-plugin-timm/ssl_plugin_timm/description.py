"""Describe timm models, so that other programs can create them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def creation_code(model: Any, name: str, stem: str, arguments: Mapping[str, Any]) -> list[str]:
    """Return the lines of Python code that create a model.

    Args:
        model: the model.
        name: name of the model in timm.
        stem: the setting ``stem`` of the backbone.
        arguments: the arguments of ``timm.create_model``.
    """
    text = "".join(f", {key}={value!r}" for key, value in arguments.items())
    create = f'model = timm.create_model("{name}"{text})'
    if stem == "default":
        return ["import timm", "", create]
    if stem == "conv":
        return [
            *("import timm", "from ssl_plugin_timm.stems import conv_patch_embedding", "", create),
            "model.patch_embed = conv_patch_embedding(model)",
        ]
    conv = model.conv1
    return [
        *("import timm", "from torch import nn", "", create),
        f"model.conv1 = nn.Conv2d({conv.in_channels}, {conv.out_channels}, 3, padding=1, "
        "bias=False)",
        "model.maxpool = nn.Identity()",
    ]


def hub_config(model: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a Hugging Face ``config.json`` that describe the timm model."""
    pretrained_cfg = model.pretrained_cfg
    return {
        "architecture": pretrained_cfg["architecture"],
        "num_classes": 0,
        "num_features": model.num_features,
        "model_args": {k: v for k, v in arguments.items() if k != "num_classes"},
        "pretrained_cfg": {
            "num_classes": 0,
            "classifier": pretrained_cfg.get("classifier"),
            "fixed_input_size": pretrained_cfg.get("fixed_input_size", False),
            "pool_size": None,
            # With a name here, timm would convert this layer from three colour channels.
            "first_conv": None,
        },
    }

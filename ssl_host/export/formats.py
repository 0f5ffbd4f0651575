"""The files of each format: a library's weights, a hub folder, an ONNX graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_host.contracts.networks import Backbone
from ssl_host.errors import UserError
from ssl_host.export.onnx_graph import GRAPH, write_graph
from ssl_host.toolkit.weights_io import write_tensors
from ssl_host.weights import HUB_WEIGHTS, WEIGHTS, plain_tensors

HUB = "huggingface"
ONNX = "onnx"


@dataclass(frozen=True)
class Format:
    """A way to write a backbone.

    Attributes:
        write: puts the files into a folder and returns what the card has to say of them besides.
        weights: the file of weights.
        usage: the card's template of code.
    """

    name: str
    write: Callable[[Backbone, Path, Mapping[str, str]], Mapping[str, Any]]
    weights: str
    usage: str


def called(backbone: Backbone, component: str) -> str:
    """What a backbone is called in a sentence, such as ``timm's resnet18``."""
    about = backbone.export()[1]
    name = f"{about.get('library', 'ssl_host')}'s {about.get('model', component)}"
    stem = about.get("stem", "default")
    return name if stem == "default" else f"{name} with stem = {stem}"


def format_of(name: str, backbone: Backbone, component: str) -> Format:
    """The format that ``--to`` asks for.

    Args:
        component: the backbone's name in a configuration.

    Raises:
        UserError: when the backbone cannot be written so; it names what works.
    """
    about = backbone.export()[1]
    formats = {ONNX: Format(ONNX, write_graph, GRAPH, "onnx.py.jinja")}
    if "code" in about:
        library = str(about["library"])
        formats[library] = Format(library, _write_weights, WEIGHTS, "library.py.jinja")
    if "hub" in about:
        formats[HUB] = Format(HUB, _write_hub_folder, HUB_WEIGHTS, "hub.py.jinja")
    if name in formats:
        return formats[name]
    it = called(backbone, component)
    reason = f"{it} is no model of {name}"
    if name == HUB:
        reason = f"such a folder names a model of timm and its arguments alone, which {it} is not"
    raise UserError(f"--to {name}: {reason}; it can be exported --to {', '.join(sorted(formats))}")


def _write_weights(backbone: Backbone, folder: Path, _: Mapping[str, str]) -> Mapping[str, Any]:
    module, about = backbone.export()
    write_tensors(folder / WEIGHTS, plain_tensors(module))
    return {"code": about["code"]}


def _write_hub_folder(backbone: Backbone, folder: Path, _: Mapping[str, str]) -> Mapping[str, Any]:
    module, about = backbone.export()
    write_tensors(folder / HUB_WEIGHTS, plain_tensors(module))
    seen = {
        "input_size": [backbone.in_channels, backbone.image_size, backbone.image_size],
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        # As evaluators see images: the whole centred square.
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
    }
    hub = about["hub"]
    config = {**hub, "pretrained_cfg": {**hub.get("pretrained_cfg", {}), **seen}}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return {}

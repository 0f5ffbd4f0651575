"""Save trained backbones to run folders, and load them from run folders and exported files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from torch import nn

from ssl_host.catalog.catalog import Catalog
from ssl_host.components import build_component
from ssl_host.config.messages import validation_problems
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.data import Fit
from ssl_host.contracts.networks import Backbone
from ssl_host.errors import UserError
from ssl_host.toolkit.atomic_io import atomic_write_text
from ssl_host.toolkit.checkpoint_keys import own_weights
from ssl_host.toolkit.checkpoint_search import (
    match_backbone,
    misfit_error,
)
from ssl_host.toolkit.weights_io import (
    Tensors,
    read_tensors,
    write_tensors,
)

FORMAT_VERSION = 1
WEIGHTS = "backbone.safetensors"
HUB_WEIGHTS = "model.safetensors"
"""File name of the weights in a folder for the Hugging Face Hub."""
DESCRIPTION = "backbone.json"


def save_backbone(
    encoder: nn.Module,
    config: RunConfig,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    folder: Path,
    fit: Fit = "crop",
    value_range: tuple[float, float] | None = None,
) -> None:
    """Write ``backbone.safetensors`` and its description ``backbone.json`` to a folder.

    Args:
        encoder: the trained backbone.
        config: configuration of the run.
        mean: mean of each channel of the training images, for pixel values from 0 to 1.
        std: standard deviation of each channel, for the same pixel values.
        folder: folder to write to.
        fit: how the images were made square.
        value_range: pixel values that became black and white; None for the range of the file's
            type.
    """
    component = config.components["backbone"]
    assert isinstance(encoder, Backbone)
    module, about = encoder.export()
    write_tensors(folder / WEIGHTS, module.state_dict())
    description = {
        "format": FORMAT_VERSION,
        "backbone": {
            "name": component.name,
            "settings": component.settings.model_dump(mode="json"),
        },
        "plugin": {
            "distribution": component.entry.origin.distribution,
            "version": component.entry.origin.version,
        },
        "made_by": about,
        "in_channels": encoder.in_channels,
        "image_size": encoder.image_size,
        "feature_dim": encoder.feature_dim,
        "mean": list(mean),
        "std": list(std),
        "fit": fit,
        "value_range": value_range,
        "method": config.components["method"].name,
    }
    atomic_write_text(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def load_backbone(path: str | Path, catalog: Catalog | None = None) -> Backbone:
    """Load a trained backbone from a folder or file, and return it in evaluation mode.

    Args:
        path: path of a run folder, of an exported folder with weights, or of the weights file in
            such a folder.
        catalog: registry of the installed plugins; built by default.

    Returns:
        The network. It maps images (B, C, H, W), normalised with its ``mean`` and ``std``, to
        features (B, D). Its ``fit`` and ``value_range`` say how the run read its images.

    Raises:
        UserError: when there are no weights, when their description cannot be read, or when the
            backbone's plugin is not installed or does not accept the settings.
        CheckpointError: when the weights are damaged or do not fit the description.
    """
    file = Path(path)
    if not file.exists():
        raise UserError(f"{file}: no such file or folder; give the folder of a finished run")
    if file.is_dir():
        file = find_weights(file) or file / WEIGHTS
    is_hub_folder = file.name == HUB_WEIGHTS
    description = file.with_name(DESCRIPTION) if is_hub_folder else file.with_suffix(".json")
    if not file.exists():
        raise UserError(f"{file}: no such file; a finished run writes it into its folder")
    if file.suffix == ".ini":
        raise UserError(
            f"{file} is a configuration, not a backbone; give the folder of its run, such as "
            f"runs/{file.stem}"
        )
    try:
        about = json.loads(description.read_text(encoding="utf-8"))
        name, settings = about["backbone"]["name"], about["backbone"]["settings"]
        sizes = {key: int(about[key]) for key in ("in_channels", "image_size")}
        statistics = {key: tuple(map(float, about[key])) for key in ("mean", "std")}
        fit, value_range = _read_image_settings(about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{description} cannot be read as the description of {file.name}: {error}"
        ) from None
    catalog = catalog or Catalog()
    cls = catalog.load("backbone", name)
    try:
        config = cls.Config.model_validate(settings)
    except ValidationError as error:
        problems = validation_problems(error, cls.Config, str(description)).values()
        plugin = about.get("plugin", {})
        raise UserError(
            f"{'; '.join(map(str, problems))}; the installed backbone {name} does not accept these "
            f"settings, so install {plugin.get('distribution')} {plugin.get('version')}, which "
            "wrote them"
        ) from None
    backbone: Backbone = build_component(cls, config, catalog.find("backbone", name), sizes)
    load_weights(backbone, read_tensors(file), file)
    backbone.mean, backbone.std = statistics["mean"], statistics["std"]
    backbone.fit, backbone.value_range = fit, value_range
    return backbone.eval()


def _read_image_settings(about: Mapping[str, Any]) -> tuple[Fit, tuple[float, float] | None]:
    """Return ``fit`` and ``value_range`` from a description, or their defaults.

    Raises:
        ValueError: when a value is not one of those that :func:`save_backbone` writes.
    """
    fit, value_range = about.get("fit", "crop"), about.get("value_range")
    if fit not in get_args(Fit):
        raise ValueError(f"fit is {fit!r}, expected one of {', '.join(get_args(Fit))}")
    if value_range is None:
        return fit, None
    low, high = map(float, value_range)
    return fit, (low, high)


def load_weights(backbone: Backbone, tensors: Tensors, file: Path) -> Sequence[str]:
    """Load tensors into a backbone; their names must be those of ssl-host's own files.

    Args:
        backbone: network that receives the tensors.
        tensors: the tensors, keyed by name.
        file: path of the file from which the tensors were read, for error messages.

    Returns:
        A note for each tensor that was converted to another image size or number of channels.

    Raises:
        CheckpointError: when a tensor is missing or has a different shape, or the file comes from
            a larger network; the message names the first few such tensors.
    """
    network, match = match_backbone(backbone, own_weights(tensors))
    if match.problems:
        raise misfit_error(backbone, match, {"": tensors}, file, "")
    network.load_state_dict(dict(match.tensors))
    return match.notes


def find_weights(folder: Path) -> Path | None:
    """Return the weights file in a run folder or an exported folder, or None."""
    return next((folder / n for n in (WEIGHTS, HUB_WEIGHTS) if (folder / n).exists()), None)

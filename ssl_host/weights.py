"""Trained backbones on the disk: written, found again, loaded into a network."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError
from torch import nn

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import build_component
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.networks import Backbone
from ssl_host.errors import CheckpointError, UserError
from ssl_host.toolkit.atomic_io import atomic_write_text
from ssl_host.toolkit.checkpoint_keys import KeyMatch, match_keys
from ssl_host.toolkit.weights_io import Tensors, read_tensors, write_tensors

FORMAT = 1
WEIGHTS = "backbone.safetensors"
HUB_WEIGHTS = "model.safetensors"
"""As the Hugging Face hub and timm call the weights in a folder."""
ABOUT = "backbone.json"


def save_backbone(
    encoder: nn.Module,
    config: RunConfig,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    folder: Path,
) -> None:
    """Write ``backbone.safetensors`` and ``backbone.json``."""
    part = config.components["backbone"]
    assert isinstance(encoder, Backbone)
    module, maker = encoder.export()
    write_tensors(folder / WEIGHTS, plain_tensors(module))
    about = {
        "format": FORMAT,
        "backbone": {"name": part.name, "settings": part.settings.model_dump(mode="json")},
        "plugin": {
            "distribution": part.entry.origin.distribution,
            "version": part.entry.origin.version,
        },
        "made_by": maker,
        "in_channels": encoder.in_channels,
        "image_size": encoder.image_size,
        "feature_dim": encoder.feature_dim,
        "mean": list(mean),
        "std": list(std),
        "method": config.components["method"].name,
    }
    text = json.dumps(about, indent=2) + "\n"
    atomic_write_text(folder / ABOUT, text)


def plain_tensors(module: nn.Module) -> Tensors:
    """A network's tensors as a file holds them: detached, on the CPU, contiguous."""
    return {name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}


def load_backbone(path: str | Path, catalog: Catalog | None = None) -> Backbone:
    """A trained backbone, in evaluation mode.

    Args:
        path: a run folder, an export of one with its weights, or the file of weights in either.

    Returns:
        The network: images B C H W, normalised with its ``mean`` and ``std``, to features B D.

    Raises:
        UserError: when there is none, or its plugin is not installed.
    """
    file = Path(path)
    if file.is_dir():
        file = _weights_in(file) or file / WEIGHTS
    listing = file.with_name(ABOUT) if file.name == HUB_WEIGHTS else file.with_suffix(".json")
    if not file.exists():
        raise UserError(f"{file}: no such file; a finished run leaves it in its folder")
    try:
        about = json.loads(listing.read_text(encoding="utf-8"))
        name, settings = about["backbone"]["name"], about["backbone"]["settings"]
        sizes = {key: int(about[key]) for key in ("in_channels", "image_size")}
        statistics = {key: tuple(map(float, about[key])) for key in ("mean", "std")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{listing} cannot be read as the description of {file.name}: {error}"
        ) from None
    catalog = catalog or Catalog()
    cls = catalog.load("backbone", name)
    try:
        config = cls.Config.model_validate(settings)
    except ValidationError as error:
        fault, plugin = error.errors()[0], about.get("plugin", {})
        at = ".".join(map(str, fault["loc"]))
        raise UserError(
            f"{listing}: the backbone {name} of now does not take the setting {at} = "
            f"{settings.get(at)!r}: {fault['msg']}. Install what wrote it: "
            f"{plugin.get('distribution')} {plugin.get('version')}"
        ) from None
    backbone: Backbone = build_component(cls, config, catalog.find("backbone", name), sizes)
    load_weights(backbone, read_tensors(file), file)
    backbone.mean, backbone.std = statistics["mean"], statistics["std"]
    return backbone.eval()


def _weights_in(folder: Path) -> Path | None:
    return next((folder / n for n in (WEIGHTS, HUB_WEIGHTS) if (folder / n).exists()), None)


def load_initial_weights(backbone: Backbone, path: Path) -> str:
    """Load weights to start from into a backbone; returns a sentence about what was loaded.

    Args:
        path: a run folder, an export or a hub folder, a ``.safetensors`` file, one of our
            checkpoints, or one of another project, such as solo-learn and lightly. Nothing in it
            is executed.

    Raises:
        UserError: when there is nothing.
        CheckpointError: when the file is damaged, or does not hold every tensor of the backbone.
    """
    file = path
    if path.is_dir():
        checkpoints = sorted((path / "checkpoints").glob("step-*.ckpt"))
        weights = _weights_in(path) or next(reversed(checkpoints), None)
        found = weights or next(path.glob("*.onnx"), None)
        if found is None:
            raise UserError(
                f"[run] init_from = {path}: no {WEIGHTS}, no {HUB_WEIGHTS} and no checkpoint"
            )
        file = found
    if file.suffix == ".onnx":
        raise UserError(
            f"[run] init_from = {path}: an ONNX graph is for inference, its batch norms are folded "
            "into its convolutions; start from the run's folder, or from another export of it"
        )
    if not file.exists():
        raise UserError(f"[run] init_from = {path}: no such file or folder")
    loaded = load_weights(backbone, read_tensors(file), file)
    return f"the backbone starts from {file}: {loaded.told()}"


def load_weights(backbone: Backbone, tensors: Tensors, file: Path) -> KeyMatch:
    """Copy tensors into a backbone, whatever names they are kept under.

    Returns:
        What was taken, under which names, and what was left out.

    Raises:
        CheckpointError: when a tensor is missing or of another shape, or the file is of a larger
            network; it names the first ones.
    """
    module = backbone.export()[0]
    # Our checkpoints have the wrapper's names, everything else those of the network in it.
    networks = [module] if module is backbone else [module, backbone]
    tried = [(network, match_keys(network, tensors)) for network in networks]
    network, best = next(
        (pair for pair in tried if not pair[1].faults),
        max(tried, key=lambda pair: len(pair[1].found)),
    )
    if best.faults:
        raise _misfit(module, best, tensors, file)
    network.load_state_dict(dict(best.found))
    return best


def _misfit(module: nn.Module, best: KeyMatch, tensors: Tensors, file: Path) -> CheckpointError:
    if not best.found:
        wanted = list(module.state_dict())
        return CheckpointError(
            f"{file} holds no weights of this backbone: it wants {next(iter(wanted), '?')} and "
            f"{len(wanted) - 1} more, and the file has {', '.join(list(tensors)[:3]) or 'none'}"
        )
    faults = best.faults
    return CheckpointError(
        f"{file} does not fit the backbone: {'; '.join(faults[:3])}"
        + (f" and {len(faults) - 3} more" if len(faults) > 3 else "")
        + "; use the same [backbone] settings and data channels"
    )

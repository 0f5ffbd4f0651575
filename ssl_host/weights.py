"""Trained backbones on the disk: written, found again, loaded into a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import build_component
from ssl_host.config.resolved import Resolved
from ssl_host.contracts.parts import Backbone
from ssl_host.errors import CheckpointError, UserError
from ssl_host.toolkit.tensor_files import Tensors, read_tensors, write_tensors

FORMAT = 1
OLDER_PREFIXES = (
    *("backbone.", "online_network.", "encoder.", "module.backbone.", "model."),
    *("feature_extractor.", "feature_extractor.backbone."),
)
"""Under what names other projects' checkpoints keep the network."""


def save_backbone(
    encoder: nn.Module,
    config: Resolved,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    folder: Path,
) -> None:
    """Write ``backbone.safetensors`` and ``backbone.json``."""
    part = config.parts["backbone"]
    assert isinstance(encoder, Backbone)
    module, maker = encoder.export()
    tensors = {name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}
    write_tensors(folder / "backbone.safetensors", tensors)
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
        "method": config.parts["method"].name,
    }
    text = json.dumps(about, indent=2) + "\n"
    (folder / "backbone.json").write_text(text, encoding="utf-8")


def load_backbone(path: str | Path, catalog: Catalog | None = None) -> Backbone:
    """A trained backbone, in evaluation mode.

    Args:
        path: a run folder, or its ``backbone.safetensors``.

    Returns:
        The network: images B C H W, normalised with its ``mean`` and ``std``, to features B D.

    Raises:
        UserError: when there is none, or its plugin is not installed.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "backbone.safetensors"
    listing = file.with_suffix(".json")
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
    backbone: Backbone = build_component(
        cls, cls.Config.model_validate(settings), catalog.find("backbone", name), sizes
    )
    fill(backbone, read_tensors(file), file)
    backbone.mean, backbone.std = statistics["mean"], statistics["std"]
    return backbone.eval()


def initialise(backbone: Backbone, path: Path) -> str:
    """Load weights to start from into a backbone; returns a sentence about what was loaded.

    Args:
        path: a run folder, a ``.safetensors`` file, one of our checkpoints, or a Lightning
            checkpoint of another project. Nothing in it is executed.
    """
    file = path
    if file.is_dir():
        file = file / "backbone.safetensors"
        if not file.exists():
            found = sorted((path / "checkpoints").glob("step-*.ckpt"))
            if not found:
                raise UserError(
                    f"[run] init_from = {path}: no backbone.safetensors and no checkpoint"
                )
            file = found[-1]
    if not file.exists():
        raise UserError(f"[run] init_from = {path}: no such file or folder")
    tensors = read_tensors(file)
    fill(backbone, tensors, file)
    return f"the backbone starts from {file} ({len(tensors)} tensors)"


def fill(backbone: Backbone, tensors: Tensors, file: Path) -> None:
    """Copy tensors into a backbone, whatever prefix they are kept under.

    Raises:
        CheckpointError: when a tensor is missing or of another shape; it names the first ones.
    """
    module = backbone.export()[0]
    wanted = module.state_dict()
    best: Tensors = {}
    for target, names in ((module, wanted), (backbone, backbone.state_dict())):
        for prefix in ("", *OLDER_PREFIXES):
            found = {name: tensors[prefix + name] for name in names if prefix + name in tensors}
            if len(found) == len(names) and _same_shapes(found, names):
                target.load_state_dict(found)
                return
            if len(found) > len(best):
                best = found
    if not best:
        raise CheckpointError(
            f"{file} holds no weights of this backbone: it wants {next(iter(wanted), '?')} and "
            f"{len(wanted) - 1} more, and the file has {', '.join(list(tensors)[:3]) or 'none'}"
        )
    missing = [name for name in wanted if name not in best]
    shapes = [
        f"{name} is {tuple(best[name].shape)} and should be {tuple(wanted[name].shape)}"
        for name in wanted
        if name in best and best[name].shape != wanted[name].shape
    ]
    faults = [f"{name} is missing" for name in missing] + shapes
    raise CheckpointError(
        f"{file} does not fit the backbone: {'; '.join(faults[:3])}"
        + (f" and {len(faults) - 3} more" if len(faults) > 3 else "")
        + "; use the same [backbone] settings and data channels"
    )


def _same_shapes(found: Tensors, names: Mapping[str, Tensor]) -> bool:
    return all(found[name].shape == names[name].shape for name in names)

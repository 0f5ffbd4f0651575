"""A linear classifier that has been trained before."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ssl_host import UserError, read_tensors


def saved_classifier(path: Path, feature_dim: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Weight C D and bias C of the linear classifier that a file holds.

    Args:
        path: a run folder, its ``linear.safetensors``, or a checkpoint in which one layer has
            that shape, whatever its name.

    Raises:
        UserError: when there is none, or more than one.
    """
    file = path / "linear.safetensors" if path.is_dir() else path
    if not file.exists():
        raise UserError(f"[evaluator.linear] weights = {path}: no such file or folder")
    tensors = read_tensors(file)
    found = {
        name: tensors[f"{name}bias"]
        for name in (key.removesuffix("weight") for key in tensors if key.endswith("weight"))
        if tensors[f"{name}weight"].shape == (num_classes, feature_dim)
        and f"{name}bias" in tensors
        and tensors[f"{name}bias"].shape == (num_classes,)
    }
    if len(found) != 1:
        layers = ", ".join(found) or "none"
        raise UserError(
            f"{file}: one linear layer from {feature_dim} features to {num_classes} classes is "
            f"wanted, and there is {layers}; is it the checkpoint of a linear evaluation of this "
            "backbone on these data?"
        )
    name, bias = next(iter(found.items()))
    return tensors[f"{name}weight"].float(), bias.float()

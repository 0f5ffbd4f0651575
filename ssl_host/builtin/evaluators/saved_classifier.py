"""Read a linear classifier from a file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ssl_host import UserError, read_tensors


def read_classifier(path: Path, feature_dim: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the weight (C, D) and the bias (C,) of a saved linear classifier, in float32.

    Args:
        path: path of a run folder, of its ``linear.safetensors``, or of a checkpoint in which
            exactly one layer has this shape; the layer may have any name.
        feature_dim: D, the dimension of the features.
        num_classes: C, the number of classes.

    Raises:
        UserError: if the file does not exist, or does not contain exactly one such layer.
    """
    file = path / "linear.safetensors" if path.is_dir() else path
    if not file.exists():
        raise UserError(f"[evaluator.linear] weights = {path}: no such file or folder")
    tensors = read_tensors(file)
    layers = [
        name
        for name in (key.removesuffix("weight") for key in tensors if key.endswith("weight"))
        if tensors[f"{name}weight"].shape == (num_classes, feature_dim)
        and f"{name}bias" in tensors
        and tensors[f"{name}bias"].shape == (num_classes,)
    ]
    if len(layers) != 1:
        raise UserError(
            f"{file}: expected one linear layer from {feature_dim} features to {num_classes} "
            f"classes, found {', '.join(layers) or 'none'}; use the checkpoint of a linear "
            "evaluation of the same backbone on the same data set"
        )
    return tensors[f"{layers[0]}weight"].float(), tensors[f"{layers[0]}bias"].float()

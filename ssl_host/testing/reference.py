"""Compare a loss and its gradients with an independent implementation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def assert_matches_reference(
    loss: Tensor, expected: Tensor, tensors: Iterable[Tensor], tolerance: float = 1e-9
) -> None:
    """Assert that two losses, and their gradients for some tensors, are equal.

    Args:
        loss: the loss to check.
        expected: the loss of an independent implementation, computed from the same tensors.
        tensors: tensors that require gradients, such as the parameters of a method.
        tolerance: largest error, relative to the norm of the expected values if that exceeds 1.

    Raises:
        AssertionError: when the loss or the gradient of a tensor differs; the message contains the
            position and shape of the tensor.
    """
    tensors = list(tensors)
    values = [("the loss", loss.detach(), expected.detach())]
    gradients = [
        torch.autograd.grad(value, tensors, retain_graph=True, allow_unused=True)
        for value in (loss, expected)
    ]
    for i, (tensor, a, b) in enumerate(zip(tensors, *gradients, strict=True)):
        zero = torch.zeros_like(tensor)
        name = f"the gradient of tensor {i}, of shape {tuple(tensor.shape)},"
        values.append((name, zero if a is None else a, zero if b is None else b))
    for name, actual, wanted in values:
        error = float((actual - wanted).norm()) / max(1.0, float(wanted.norm()))
        if not error <= tolerance:
            raise AssertionError(f"{name} differs from the reference by {error:.1e}")

"""Evenly spaced indices, because the first images of a dataset often share one class."""

from __future__ import annotations

import torch
from torch import Tensor


def evenly_spaced_indices(count: int, limit: int) -> Tensor:
    """Return at most ``limit`` distinct, evenly spaced indices from 0 to ``count`` - 1.

    They are computed with integers: a float32 ``linspace`` is inexact above 2²⁴, and its last value
    can be out of range.
    """
    number = min(count, limit)
    return torch.arange(number) * (count - 1) // max(number - 1, 1)

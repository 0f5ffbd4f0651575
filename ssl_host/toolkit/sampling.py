"""Evenly spaced indices into a dataset, because its first images are often of one class."""

from __future__ import annotations

import torch
from torch import Tensor


def evenly_spaced_indices(count: int, limit: int) -> Tensor:
    """Return at most ``limit`` evenly spaced indices from 0 to ``count`` - 1, without repetition.

    Computed with integers: a float32 ``linspace`` is inexact from 2²⁴, and its last value can
    exceed the range.
    """
    number = min(count, limit)
    return torch.arange(number) * (count - 1) // max(number - 1, 1)

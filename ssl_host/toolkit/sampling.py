"""Evenly spaced samples of a dataset; its first images are often of one class."""

from __future__ import annotations

import torch
from torch import Tensor


def evenly_spaced_indices(count: int, limit: int) -> Tensor:
    """Return at most ``limit`` different indices below ``count``, sorted, with first and last.

    Computed with integers: a float32 ``linspace`` is inexact from 2²⁴, and its last value can
    exceed the range.
    """
    number = min(count, limit)
    return torch.arange(number) * (count - 1) // max(number - 1, 1)

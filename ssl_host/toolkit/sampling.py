"""Some of many, evenly spread: folders are sorted by class, and their first images are of one."""

from __future__ import annotations

import torch
from torch import Tensor


def evenly_spaced_indices(count: int, wanted: int) -> Tensor:
    """At most ``wanted`` different indices below ``count``, in order, the first and the last in.

    In whole numbers: from 2²⁴ on a float32 ``linspace`` misses images, and its last may be none.
    """
    number = min(count, wanted)
    return torch.arange(number) * (count - 1) // max(number - 1, 1)

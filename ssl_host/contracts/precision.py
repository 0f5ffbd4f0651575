"""Sums that bfloat16 is too coarse for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)


@contextmanager
def full_precision(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Arithmetic in float32 at least, whatever the precision of the run.

    ``with full_precision(z1, z2) as (z1, z2):`` switches autocast off, which would compute a matrix
    product in bfloat16 even of float32 tensors, and gives the tensors, of half precision ones
    float32 copies with a gradient. float64 stays. Losses that are components are called so.
    """
    device = tensors[0].device.type if tensors else "cpu"
    with torch.autocast(device, enabled=False):
        yield tuple(t.float() if t.dtype in _HALF else t for t in tensors)

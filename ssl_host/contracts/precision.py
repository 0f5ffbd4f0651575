"""Context manager for float32 computations in mixed-precision training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)


@contextmanager
def full_precision(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Context manager for computing in at least float32, whatever the precision of the run.

    ``with full_precision(z1, z2) as (z1, z2):`` disables autocast, which would compute a matrix
    product in bfloat16 even for float32 tensors, and yields the tensors. Half-precision tensors
    are converted to float32, with gradients; float32 and float64 tensors are unchanged. The host
    calls loss components this way.
    """
    device = tensors[0].device.type if tensors else "cpu"
    with torch.autocast(device, enabled=False):
        yield tuple(t.float() if t.dtype in _HALF else t for t in tensors)

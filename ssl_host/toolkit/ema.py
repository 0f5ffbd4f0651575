"""A mean over the images of many steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_host.toolkit.distributed import gather


class MovingAverage(nn.Module):
    """The exponential moving average of rows B D of all processes; state, in the checkpoint.

    DINO's centre, arXiv:2104.14294, equation 4: c ← m·c + (1 − m)·mean. A method makes one in
    ``setup()``, reads :attr:`mean` in ``step``, and returns the rows it is to receive:
    ``StepOutput(..., enqueue={"centre": rows})``. The host hands them over once after each
    optimizer step, those of all accumulated parts together.

    Args:
        dim: D of a row.
        momentum: m, how much of the past is kept.

    Attributes:
        mean: D, zeros at the start.
    """

    mean: Tensor

    def __init__(self, dim: int, momentum: float) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"a momentum of {momentum} is not from 0 to 1")
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(dim))

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Move towards the mean of the rows B D of every process."""
        fresh = gather(rows.detach()).to(self.mean.dtype).mean(dim=0)
        self.mean.lerp_(fresh, 1 - self.momentum)

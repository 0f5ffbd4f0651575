"""Exponential moving average of embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_host.toolkit.distributed import gather


class MovingAverage(nn.Module):
    """Exponential moving average of rows (B, D) from all processes, saved in checkpoints.

    This is DINO's centre (arXiv:2104.14294, equation 4): c ← m·c + (1 − m)·mean. Create it in a
    method's ``setup()``, read :attr:`mean` in ``step`` and return the new rows as
    ``StepOutput(..., enqueue={"centre": rows})``. The host pushes the rows of all micro-batches
    together, once after each optimizer step.

    Args:
        dim: width D of the rows.
        momentum: weight m of the previous mean, from 0 to 1.

    Attributes:
        mean: the current average, shape (D,); zeros at the start.
    """

    mean: Tensor

    def __init__(self, dim: int, momentum: float) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum = {momentum}: must be from 0 to 1")
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(dim))

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Update the average with the mean of the rows (B, D) from all processes."""
        batch_mean = gather(rows.detach()).to(self.mean.dtype).mean(dim=0)
        self.mean.lerp_(batch_mean, 1 - self.momentum)

"""Exponential moving average of embeddings."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ssl_host.contracts.precision import full_precision
from ssl_host.toolkit.distributed import world_size


class MovingAverage(nn.Module):
    """Exponential moving average of rows (B, D) from all processes, saved in checkpoints.

    This is DINO's centre (arXiv:2104.14294, equation 4): c ← m·c + (1 − m)·mean. Create it in a
    method's ``setup()``, for example as ``self.centre``, read :attr:`mean` in ``step`` and return
    the new rows as ``StepOutput(..., enqueue={"centre": rows})``. The host pushes the rows of all
    micro-batches together, once after each optimizer step.

    Args:
        dim: width D of the rows.
        momentum: weight m of the previous mean, from 0 to 1.

    Attributes:
        mean: the current average, shape (D,); zeros at the start.

    Raises:
        ValueError: if ``momentum`` is not from 0 to 1.
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
        """Update the average with the mean of the rows (B, D) from all processes.

        The processes may have different numbers of rows; if none has any, nothing changes.
        """
        total = rows.detach().to(self.mean.dtype).sum(dim=0)
        count = torch.tensor(float(len(rows)), device=total.device, dtype=total.dtype)
        if world_size() > 1:
            dist.all_reduce(total)
            dist.all_reduce(count)
        if count > 0:
            self.mean.lerp_(total / count, 1 - self.momentum)


class Centre(MovingAverage):
    """Moving centre of a teacher's scores; subtracting it prevents collapse to one prototype.

    DINO, arXiv:2104.14294, section 3.1. Push the scores of a step as ``StepOutput(...,
    enqueue={"centre": scores})``; pushing their mean over the images has the same effect.
    """

    @torch.no_grad()
    def probabilities(self, scores: Tensor, temperature: float) -> Tensor:
        """Return the softmax of (scores − mean) / ``temperature``, with the shape of the scores.

        It is computed in float32 or float64, whatever the precision of the run.

        Args:
            scores: scores of the K prototypes, shape (..., K).
            temperature: divides the centred scores; a low one sharpens the result.
        """
        with full_precision(scores) as (exact,):
            return ((exact - self.mean.to(exact.dtype)) / temperature).softmax(dim=-1)

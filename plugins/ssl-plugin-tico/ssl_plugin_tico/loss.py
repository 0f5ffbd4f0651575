"""The loss of TiCo and its moving covariance."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import Loss, Settings, full_precision, gather


class TiCoLoss(Loss):
    """Loss of TiCo: agreement of two views and covariance contrast (arXiv:2206.10698, eq. 5).

    ``loss(z, target, covariance)`` takes the embeddings (B, D) of the student and of the EMA
    network, and the moving covariance (D, D), which has no gradient. Without ``covariance``, that
    of the batch is used.
    """

    class Config(Settings):
        covariance: float = Field(
            8.0, ge=0, le=1e4, description="weight ρ of the covariance contrast"
        )

    config: Config

    def forward(self, z: Tensor, target: Tensor, covariance: Tensor | None = None) -> Tensor:
        z, target = functional.normalize(z, dim=1), functional.normalize(target, dim=1)
        if covariance is None:
            covariance = second_moment(z)
        contrast = ((z @ covariance.to(z.dtype)) * z).sum(dim=1).mean()
        return 1 - (z * target).sum(dim=1).mean() + self.config.covariance * contrast


class MovingCovariance(nn.Module):
    """Moving average of the uncentred covariance of unit vectors, saved in checkpoints.

    TiCo, arXiv:2206.10698, equation 4: C ← β·C + (1 − β)·zᵀz / N.

    Args:
        dim: width D of the embeddings.
        decay: weight β of the previous covariance.
    """

    value: Tensor

    def __init__(self, dim: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("value", torch.zeros(dim, dim))

    @torch.no_grad()
    def updated(self, rows: Tensor) -> Tensor:
        """Return the covariance updated with the rows (B, D) of all processes; do not store it."""
        with full_precision(rows) as (exact,):
            moment = second_moment(functional.normalize(exact.to(self.value.dtype), dim=1))
            return self.value.lerp(moment, 1 - self.decay)

    def push(self, rows: Tensor) -> None:
        """Update the covariance with the rows (B, D) of all processes."""
        self.value.copy_(self.updated(rows))


@torch.no_grad()
def second_moment(rows: Tensor) -> Tensor:
    """Return rowsᵀ · rows / N over the N rows of all processes, (D, D), without a gradient."""
    rows = gather(rows.detach())
    return rows.T @ rows / len(rows)

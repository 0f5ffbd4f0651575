"""The Barlow Twins loss."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ssl_host import Loss, Settings, gather

EPS = 1e-5
"""Number added to the variance, as in the batch norm of the authors' code."""


class BarlowTwinsLoss(Loss):
    """Loss that pushes the cross-correlation C of two views towards the identity.

    Zbontar et al., arXiv:2103.03230, equation 1.

    The loss is Σᵢ (1 − Cᵢᵢ)² + λ Σᵢ≠ⱼ Cᵢⱼ², multiplied by the setting ``scale``.
    ``loss(z1, z2)`` takes the embeddings (B, D) of two views and returns a scalar. C is computed
    over the whole batch of all processes. The embeddings of each view are first normalised by
    their mean and biased variance.
    """

    class Config(Settings):
        lambda_: float = Field(0.0051, ge=0, le=10, description="weight λ of the off-diagonal sum")
        scale: float = Field(1.0, gt=0, le=100, description="factor that multiplies the loss")

    config: Config

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        z1, z2 = _normalise(gather(z1)), _normalise(gather(z2))
        correlation = z1.T @ z2 / len(z1)
        diagonal = correlation.diagonal()
        on_diagonal = (1 - diagonal).square().sum()
        off_diagonal = correlation.square().sum() - diagonal.square().sum()
        loss: Tensor = on_diagonal + self.config.lambda_ * off_diagonal
        return self.config.scale * loss


def _normalise(z: Tensor) -> Tensor:
    """Return embeddings (B, D) with mean 0 and variance 1 in each column."""
    variance, mean = torch.var_mean(z, dim=0, correction=0)
    return (z - mean) * torch.rsqrt(variance + EPS)

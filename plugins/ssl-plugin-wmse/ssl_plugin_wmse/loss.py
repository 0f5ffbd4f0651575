"""The loss of W-MSE."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Loss, Settings, gather

SHRINKAGE = 1e-3
"""Shrinkage of a covariance that has no inverse, such as that of a collapsed network."""


class WMSELoss(Loss):
    """Squared distance of whitened, normalised embeddings: arXiv:2007.06346, equations 3 to 6.

    ``loss(z1, z2, order)`` takes the embeddings (B, D) of two views. The images of all processes
    are sorted by the numbers ``order`` (B,), or keep their order without it, and are split into
    sub-batches. In each sub-batch, the embeddings of each view are whitened with the Cholesky
    factor of their covariance. Both views receive a gradient.
    """

    class Config(Settings):
        sub_batch: int = Field(
            128,
            ge=2,
            le=65536,
            description="number of images that are whitened together; use at least twice the width "
            "of the embeddings",
        )
        epsilon: float = Field(
            0.0, ge=0, le=1, description="shrinkage of the covariance towards the identity"
        )

    config: Config

    def forward(self, z1: Tensor, z2: Tensor, order: Tensor | None = None) -> Tensor:
        first, second = gather(z1), gather(z2)
        if order is not None:
            position = gather(order).argsort(stable=True)
            first, second = first[position], second[position]
        count = max(1, len(first) // self.config.sub_batch)
        losses = [
            2 - 2 * functional.cosine_similarity(self._whiten(a), self._whiten(b), dim=1)
            for a, b in zip(first.tensor_split(count), second.tensor_split(count), strict=True)
        ]
        return torch.cat(losses).mean()

    def _whiten(self, rows: Tensor) -> Tensor:
        """Return the rows (n, D) whitened: mean 0, and the identity as (unbiased) covariance."""
        centred = rows - rows.mean(dim=0)
        covariance = centred.T @ centred / max(1, len(rows) - 1)
        factor, problem = torch.linalg.cholesky_ex(_shrink(covariance, self.config.epsilon))
        if problem:
            factor = torch.linalg.cholesky(_shrink(covariance, SHRINKAGE))
        whitened: Tensor = torch.linalg.solve_triangular(factor, centred.T, upper=False).T
        return whitened


def _shrink(covariance: Tensor, epsilon: float) -> Tensor:
    """Return (1 - ε) · covariance + ε · identity."""
    return (1 - epsilon) * covariance + epsilon * torch.eye(len(covariance)).to(covariance)

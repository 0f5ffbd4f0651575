"""The losses of VICReg and VIbCReg."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Loss, Settings, gather

EPS = 1e-4
"""Number added to the variance before its root is taken, as in both papers."""


class VICRegLoss(Loss):
    """Loss of VICReg: invariance, variance and covariance, arXiv:2105.04906, equation 6.

    ``loss(z1, z2)`` takes the embeddings (B, D) of two views. Variances and covariances are
    computed over the images of all processes and divided by N - 1. As in the authors' code, the
    hinge on the standard deviation is halved; the covariance is not.
    """

    class Config(Settings):
        invariance: float = Field(25.0, ge=0, le=1e4, description="weight of the invariance term")
        variance: float = Field(25.0, ge=0, le=1e4, description="weight of the variance term")
        covariance: float = Field(1.0, ge=0, le=1e4, description="weight of the covariance term")

    config: Config

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        loss = self.config.invariance * functional.mse_loss(z1, z2)
        for z in (gather(z1), gather(z2)):
            off_diagonal = (z.T.cov() * _off_diagonal(z)).square().sum() / z.shape[1]
            loss = loss + self.config.variance * _hinge(z) / 2
            loss = loss + self.config.covariance * off_diagonal
        return loss


class VIbCRegLoss(Loss):
    """Loss of VIbCReg, whose covariance term uses correlations: arXiv:2109.00783, section 3.

    ``loss(z1, z2)`` takes the embeddings (B, D) of two views. The squared off-diagonal correlations
    are averaged over all D² entries, and the hinge is not halved.
    """

    class Config(Settings):
        invariance: float = Field(25.0, ge=0, le=1e4, description="weight of the invariance term")
        variance: float = Field(25.0, ge=0, le=1e4, description="weight of the variance term")
        covariance: float = Field(200.0, ge=0, le=1e4, description="weight of the correlation term")

    config: Config

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        loss = self.config.invariance * functional.mse_loss(z1, z2)
        for z in (gather(z1), gather(z2)):
            unit = functional.normalize(z - z.mean(dim=0), dim=0)
            correlation = (unit.T @ unit) * _off_diagonal(z)
            loss = loss + self.config.variance * _hinge(z)
            loss = loss + self.config.covariance * correlation.square().mean()
        return loss


def _hinge(z: Tensor) -> Tensor:
    """Return the mean amount by which the columns' standard deviations are below 1."""
    return functional.relu(1 - (z.var(dim=0) + EPS).sqrt()).mean()


def _off_diagonal(z: Tensor) -> Tensor:
    """Return a matrix (D, D) of ones, with zeros on the diagonal."""
    return 1 - z.new_ones(z.shape[1]).diag()

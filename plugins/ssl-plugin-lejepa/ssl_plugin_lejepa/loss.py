"""The SIGReg loss."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ssl_host import Loss, Settings, gather

LARGEST = 3.0
"""Largest frequency at which characteristic functions are compared."""


class SIGReg(Loss):
    """Distance of embeddings from a normal distribution in random directions: arXiv:2511.08544.

    ``loss(*views, seed=0)`` takes the embeddings (B, D) of one or more views. Each view is
    projected onto ``num_directions`` random directions, which ``seed`` determines; the Epps-Pulley
    statistic, N · ∫ |φ(t) - exp(-t²/2)|² exp(-t²/2) dt, compares the characteristic function φ of
    the N images of all processes with that of the standard normal distribution.
    """

    class Config(Settings):
        num_directions: int = Field(
            1024, ge=1, le=1_000_000, description="number of random directions"
        )
        num_knots: int = Field(
            17, ge=3, le=1001, description="number of knots of the numerical integral"
        )

    config: Config

    def forward(self, *views: Tensor, seed: int = 0) -> Tensor:
        directions = self._directions(views[0], seed)
        return torch.stack([self._statistic(z @ directions) for z in views]).mean()

    def _directions(self, z: Tensor, seed: int) -> Tensor:
        """Return random unit vectors, (D, M), the same in all processes."""
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(z.shape[1], self.config.num_directions, generator=generator)
        unit: Tensor = directions / directions.norm(dim=0)
        return unit.to(z)

    def _statistic(self, projections: Tensor) -> Tensor:
        """Return the statistic of projected embeddings (B, M), averaged over the directions."""
        knots = torch.linspace(0, LARGEST, self.config.num_knots).to(projections)
        normal = torch.exp(-knots.square() / 2)
        # The integrand is even, so half of the axis counts twice.
        weights = torch.full_like(knots, 2 * LARGEST / (self.config.num_knots - 1))
        weights[[0, -1]] /= 2
        angles = projections[..., None] * knots
        parts = torch.stack([angles.cos().mean(dim=0), angles.sin().mean(dim=0)])
        means = gather(parts[None])
        count = len(means) * len(projections)
        real, imaginary = means.mean(dim=0)
        error = (real - normal).square() + imaginary.square()
        statistic: Tensor = count * (error @ (weights * normal))
        return statistic.mean()

"""The VIbCReg method and its head."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_host import Head, Settings, full_precision, gather

from .method import VICReg

EPS = 1e-5
"""Number added to the variances, as in the authors' code of iterative normalisation."""


class VIbCReg(VICReg):
    """VIbCReg: VICReg with correlations instead of covariances, and whitened embeddings.

    Lee & Aune 2021, arXiv:2109.00783. The recipe is solo-learn's for ImageNet-100.
    """

    recipe = {
        "augmentation": {
            "name": "byol",
            "crop_min": 0.2,
            "blur": 0.5,
            "blur2": 0.5,
            "solarize": 0.1,
            "solarize2": 0.1,
        },
        "head.projector": {"name": "whitened_mlp"},
        "loss": {"name": "vibcreg"},
        "optimizer": {
            "name": "lars",
            "base_lr": 0.3,
            "trust": 0.02,
            "clip": True,
            "weight_decay": 1e-4,
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }


class WhitenedMLP(Head):
    """MLP with GELU whose outputs are whitened in groups by iterative normalisation.

    The projector of VIbCReg, arXiv:2109.00783, figure 2.
    """

    class Config(Settings):
        hidden_dim: int = Field(2048, ge=1, le=65536, description="width of the hidden layers")
        output_dim: int = Field(2048, ge=1, le=65536, description="width of the output")
        num_groups: int = Field(
            64,
            ge=1,
            le=65536,
            description="number of groups of columns; the largest number up to it that divides "
            "output_dim is used",
        )
        num_iterations: int = Field(
            5, ge=1, le=100, description="number of Newton iterations of the whitening"
        )

    config: Config

    def setup(self) -> None:
        config = self.config
        self.layers = nn.Sequential(
            nn.Linear(self.in_dim, config.hidden_dim),
            nn.BatchNorm1d(config.hidden_dim),
            nn.GELU(),
            nn.Linear(config.hidden_dim, config.hidden_dim),
            nn.BatchNorm1d(config.hidden_dim),
            nn.GELU(),
            nn.Linear(config.hidden_dim, config.output_dim),
            IterNorm(config.output_dim, config.num_groups, config.num_iterations),
        )
        self.output_dim = config.output_dim

    def forward(self, features: Tensor) -> Tensor:
        embeddings: Tensor = self.layers(features)
        return embeddings


class IterNorm(nn.Module):
    """Batch normalisation that also decorrelates columns: Huang et al. 2019, arXiv:1904.03441.

    Groups of columns are multiplied by the inverse square root of their covariance, which Newton's
    iteration approximates. Statistics are computed over the images of all processes, in float32 or
    float64; evaluation uses their running averages.

    Args:
        dim: number of columns D.
        num_groups: number of groups; the largest number up to it that divides ``dim`` is used.
        num_iterations: number of Newton iterations.
        momentum: weight of a batch in the running averages.
    """

    running_mean: Tensor
    running_whitening: Tensor

    def __init__(
        self, dim: int, num_groups: int = 64, num_iterations: int = 5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        while dim % num_groups:
            num_groups -= 1
        self.num_groups, self.num_iterations = num_groups, num_iterations
        self.momentum, width = momentum, dim // num_groups
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_whitening", torch.eye(width).repeat(num_groups, 1, 1))

    def forward(self, rows: Tensor) -> Tensor:
        with full_precision(rows, self.weight, self.bias) as (exact, weight, bias):
            mean, whitening = self._batch_statistics(exact) if self.training else self._running()
            groups = self._split(exact - mean.to(exact))
            whitened = (whitening.to(exact) @ groups).flatten(0, 1).T
            return whitened * weight + bias

    def _split(self, rows: Tensor) -> Tensor:
        """Return rows (B, D) in groups of columns, (G, D / G, B)."""
        groups: Tensor = rows.T.unflatten(0, (self.num_groups, -1))
        return groups

    def _running(self) -> tuple[Tensor, Tensor]:
        """Return the running averages of mean and whitening matrices."""
        return self.running_mean, self.running_whitening

    def _batch_statistics(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean (D,) and the whitening matrices (G, D / G, D / G) of all processes."""
        every = gather(rows)
        mean = every.mean(dim=0)
        whitening = self._whitening(self._split(every - mean))
        for running, value in zip(self._running(), (mean, whitening), strict=True):
            running.lerp_(value.detach().to(running.dtype), self.momentum)
        return mean, whitening

    def _whitening(self, centred: Tensor) -> Tensor:
        """Return the inverse square root of each group's covariance, (G, D / G, D / G)."""
        identity = torch.eye(centred.shape[1], dtype=centred.dtype, device=centred.device)
        covariance = centred @ centred.mT / centred.shape[2] + EPS * identity
        # Newton's iteration converges for matrices of norm below 1: divide by the trace.
        trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None]
        root: Tensor = identity.expand_as(covariance)
        for _ in range(self.num_iterations):
            root = 1.5 * root - 0.5 * root @ root @ root @ (covariance / trace)
        inverse_root: Tensor = root * trace.rsqrt()
        return inverse_root

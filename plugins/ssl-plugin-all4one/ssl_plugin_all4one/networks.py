"""Predictors and positions of All4One, and the distance of its cross-correlations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import full_precision, gather


def predictor(width: int, hidden_dim: int) -> nn.Sequential:
    """Return a predictor of embeddings (B, width), with batch norm in its hidden layer."""
    return nn.Sequential(
        nn.Linear(width, hidden_dim, bias=False),
        nn.BatchNorm1d(hidden_dim),
        nn.ReLU(inplace=True),
        nn.Linear(hidden_dim, width),
    )


def feature_distance(targets: tuple[Tensor, Tensor], embeddings: tuple[Tensor, Tensor]) -> Tensor:
    """Return the distance of two cross-correlations from the identity: equation 7 of the paper.

    Args:
        targets: the EMA network's embeddings (B, D) of both views, normalised here.
        embeddings: the trained network's embeddings (B, D) of the second and of the first view.

    Returns:
        √on + √off, where ``on`` and ``off`` are the mean squared errors on and off the diagonals.
    """
    on, off = [], []
    with full_precision(*targets, *embeddings) as exact:
        for target, z in zip(exact[:2], exact[2:], strict=True):
            unit = functional.normalize(gather(functional.normalize(target, dim=1)), dim=0)
            squared = (
                unit.T @ functional.normalize(gather(z), dim=0) - torch.eye(len(z.T)).to(z)
            ) ** 2
            diagonal = squared.diagonal()
            on.append(diagonal.mean())
            off.append((squared.sum() - diagonal.sum()) / (squared.numel() - len(diagonal)))
        roots = [torch.stack(terms).mean().clamp_min(1e-12).sqrt() for terms in (on, off)]
        return roots[0] + roots[1]


def sine_positions(count: int, width: int) -> Tensor:
    """Return sine-cosine embeddings (``count``, ``width``) of the positions 0 to ``count`` - 1."""
    frequencies = 10_000 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(count)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]

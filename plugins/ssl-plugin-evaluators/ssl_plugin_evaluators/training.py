"""Training of classifiers on frozen features, and the split on which settings are chosen."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR


def split_validation(count: int, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return random indices of training images: those to train on, and those for validation.

    Args:
        count: number of training images.
        fraction: fraction of the images for validation; at least one image.
        seed: seed of the order.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    size = max(1, round(count * fraction))
    return order[size:], order[:size]


def train(
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[Tensor], Tensor],
    rows: Tensor,
    epochs: int,
    batch_size: int,
    seed: int,
) -> None:
    """Minimise a loss over random batches, with a cosine schedule from the optimizer's rates to 0.

    Args:
        optimizer: optimizer of the classifiers.
        loss_of: function that maps the indices of a batch of images to the loss.
        rows: (N,), the indices of the images to train on.
        epochs: number of passes over the images.
        batch_size: number of images per step.
        seed: seed of the order of the images.
    """
    generator = torch.Generator().manual_seed(seed)
    schedule = CosineAnnealingLR(optimizer, epochs * -(-len(rows) // batch_size))
    for _ in range(epochs):
        order = rows[torch.randperm(len(rows), generator=generator)]
        for index in order.split(batch_size):
            loss = loss_of(index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

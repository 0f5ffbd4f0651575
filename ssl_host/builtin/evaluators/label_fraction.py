"""Select a fraction of the labelled images, in the same way in every run."""

from __future__ import annotations

import torch
from torch import Tensor


def select_labelled_fraction(labels: Tensor, fraction: float) -> Tensor:
    """Return the sorted indices of a random fraction of each class, at least one image each.

    The selection depends only on the labels and the fraction, so runs are comparable.

    Args:
        labels: (N,), int64, the labels of all images.
        fraction: fraction of the images, above 0 and at most 1.
    """
    if fraction >= 1:
        return torch.arange(len(labels))
    generator = torch.Generator().manual_seed(round(fraction * 1_000_000))
    drawn = []
    for label in torch.unique(labels):
        members = (labels == label).nonzero().squeeze(1)
        order = torch.randperm(len(members), generator=generator)
        drawn.append(members[order[: max(1, round(fraction * len(members)))]])
    return torch.cat(drawn).sort().values

"""Fixed fraction of the labelled images."""

from __future__ import annotations

import torch
from torch import Tensor


def labelled_fraction(labels: Tensor, fraction: float) -> Tensor:
    """Return the sorted indices of a fraction of each class's images, at least one per class.

    The draw depends only on the labels and the fraction, so that runs are comparable.

    Args:
        labels: N, int64.
        fraction: from 0 (exclusive) to 1.
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

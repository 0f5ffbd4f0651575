"""A fraction of the labels, the same in every run."""

from __future__ import annotations

import torch
from torch import Tensor


def labelled_fraction(labels: Tensor, fraction: float) -> Tensor:
    """Numbers of ``fraction`` of each class's images, at least one a class, sorted.

    The draw depends on nothing but the labels and the fraction, so that runs compare.
    """
    if fraction >= 1:
        return torch.arange(len(labels))
    generator = torch.Generator().manual_seed(round(fraction * 1_000_000))
    chosen = []
    for label in torch.unique(labels):
        members = (labels == label).nonzero().squeeze(1)
        order = torch.randperm(len(members), generator=generator)
        chosen.append(members[order[: max(1, round(fraction * len(members)))]])
    return torch.cat(chosen).sort().values

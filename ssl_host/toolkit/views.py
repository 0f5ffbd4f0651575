"""Forward passes and losses over the views of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def encode_views(network: Callable[[Tensor], Any], views: Sequence[Tensor]) -> list[Tensor]:
    """Return a network's output for each view; views of the same size share a forward pass.

    Batch norms therefore compute their statistics over all views of one size, as in SwAV's and
    DINO's code.

    Args:
        network: network that maps images (B, C, H, W) to a tensor with B rows.
        views: the views, with views of the same size next to each other; all have the same number
            of rows.
    """
    outputs: list[Tensor] = []
    start = 0
    while start < len(views):
        end = start + 1
        while end < len(views) and views[end].shape == views[start].shape:
            end += 1
        group = views[start:end]
        joined = group[0] if len(group) == 1 else torch.cat(list(group))
        outputs += network(joined).split(len(group[0]))
        start = end
    return outputs


def cross_view_loss(
    loss: Callable[[Tensor, Tensor], Tensor], students: Sequence[Tensor], targets: Sequence[Tensor]
) -> Tensor:
    """Return the mean loss over all pairs of a target and an output for a different view.

    DINO, arXiv:2104.14294, equation 3.

    Args:
        loss: function of a student's output and a target.
        students: the student's output for each view, full-size views first.
        targets: the target of each full-size view.
    """
    terms = [
        loss(student, target)
        for i, target in enumerate(targets)
        for j, student in enumerate(students)
        if i != j
    ]
    return torch.stack(terms).mean()

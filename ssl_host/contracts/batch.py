"""Records of what an SSL method's step receives and returns, and of training progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Record of a batch: the views of its images, with their indices and labels.

    Attributes:
        views: one normalised tensor (B, C, H, W) for each view; the full-size views come first.
        index: index of each image in the training data, shape (B,), int64.
        labels: class labels, shape (B,), int64, with -1 for an image without a label; None if
            there are none or the method does not use them.
        num_global: number of full-size views; the other views are small multi-crop views.
    """

    views: list[Tensor]
    index: Tensor
    labels: Tensor | None = None
    num_global: int = 2


@dataclass
class StepOutput:
    """Record of what a method's step returns: loss, features, rows for queues, values to log.

    Attributes:
        loss: scalar tensor that requires a gradient.
        features: input of the online probe, shape (B, D); detached here, so the probe cannot send
            a gradient to the backbone.
        enqueue: maps the name of a :class:`~ssl_host.FeatureQueue` or
            :class:`~ssl_host.MovingAverage` of the method to the rows (B, D) that the host pushes
            into it after the optimizer step, so a step never reads its own rows. Any module with a
            method ``push(rows)`` works.
        logs: additional scalars to log, keyed by name.
    """

    loss: Tensor
    features: Tensor | None = None
    enqueue: Mapping[str, Tensor] = field(default_factory=dict)
    logs: Mapping[str, Tensor | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.features is not None:
            self.features = self.features.detach()
        self.enqueue = {name: rows.detach() for name, rows in self.enqueue.items()}


def merge_outputs(outputs: Sequence[StepOutput]) -> StepOutput:
    """Return the last micro-batch's output, with the rows to push from all micro-batches."""
    last = outputs[-1]
    if len(outputs) == 1:
        return last
    rows = {name: torch.cat([out.enqueue[name] for out in outputs]) for name in last.enqueue}
    return replace(last, enqueue=rows)


@dataclass(frozen=True)
class Progress:
    """Record of how far training has come: steps done, total steps and current epoch.

    Attributes:
        step: number of optimizer steps done so far.
        total_steps: number of optimizer steps in the whole run.
        epoch: current epoch, counted from 0.
    """

    step: int = 0
    total_steps: int = 1
    epoch: int = 0

    @property
    def fraction(self) -> float:
        """Return the fraction of the optimizer steps done so far, from 0 to 1."""
        return min(1.0, self.step / max(1, self.total_steps))

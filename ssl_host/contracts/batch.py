"""What goes into a method's step, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The views of one batch of images.

    Attributes:
        views: one tensor B C H W a view, float, normalised; the full-size views come first.
        index: B, int64, each image's number in its data set.
        labels: B, int64, or None where there are none or the method does not use them.
        num_global: how many of the views are full size (the rest are multi-crop's small ones).
        masks: B T, bool, for masked methods whose augmentation makes them, else None.
    """

    views: list[Tensor]
    index: Tensor
    labels: Tensor | None = None
    num_global: int = 2
    masks: Tensor | None = None


@dataclass
class StepOutput:
    """The outcome of one step.

    Attributes:
        loss: scalar, with a gradient.
        features: B D, what the online probe learns from; detached here, so that no probe can
            ever reach the backbone.
        enqueue: the rows B D that each named :class:`~ssl_host.FeatureQueue` or
            :class:`~ssl_host.MovingAverage` of the method receives once the optimizer has stepped,
            so that the look-up always comes before the push. Anything with ``push(rows)`` will do.
        logs: further scalars for the log.
    """

    loss: Tensor
    features: Tensor | None = None
    enqueue: Mapping[str, Tensor] = field(default_factory=dict)
    logs: Mapping[str, Tensor | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.features is not None:
            self.features = self.features.detach()
        self.enqueue = {name: rows.detach() for name, rows in self.enqueue.items()}


def merge_outputs(parts: Sequence[StepOutput]) -> StepOutput:
    """The outputs of a step's accumulated parts: the last one, with what all of them enqueue."""
    if len(parts) == 1:
        return parts[0]
    rows = {name: torch.cat([part.enqueue[name] for part in parts]) for name in parts[-1].enqueue}
    return replace(parts[-1], enqueue=rows)


@dataclass(frozen=True)
class Progress:
    """How far the training is.

    Attributes:
        step: optimizer steps done.
        total_steps: optimizer steps planned.
        epoch: the running epoch, from 0.
    """

    step: int = 0
    total_steps: int = 1
    epoch: int = 0

    @property
    def fraction(self) -> float:
        """From 0 at the start to 1 at the end."""
        return min(1.0, self.step / max(1, self.total_steps))

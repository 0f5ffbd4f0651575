"""Input and output of a method's step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Views of one batch of images.

    Attributes:
        views: one tensor B C H W per view, float, normalised; the full-size views come first.
        index: B, int64, index of each image in the training data.
        labels: B, int64, or None if there are no labels or the method does not use them.
        num_global: number of full-size views; the others are the small views of multi-crop.
        masks: B T, bool, for masked methods with an augmentation that makes masks, else None.
    """

    views: list[Tensor]
    index: Tensor
    labels: Tensor | None = None
    num_global: int = 2
    masks: Tensor | None = None


@dataclass
class StepOutput:
    """Output of one step of a method.

    Attributes:
        loss: scalar with a gradient.
        features: B D, input of the online probe; detached here, so that the probe cannot send a
            gradient to the backbone.
        enqueue: rows B D by name of the :class:`~ssl_host.FeatureQueue` or
            :class:`~ssl_host.MovingAverage` of the method that receives them after the optimizer
            step, so that every read comes before the push. Any module with ``push(rows)`` works.
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


def merge_outputs(outputs: Sequence[StepOutput]) -> StepOutput:
    """Merge the outputs of a step's micro-batches: the last one, with the enqueued rows of all."""
    last = outputs[-1]
    if len(outputs) == 1:
        return last
    rows = {name: torch.cat([out.enqueue[name] for out in outputs]) for name in last.enqueue}
    return replace(last, enqueue=rows)


@dataclass(frozen=True)
class Progress:
    """Progress of the training.

    Attributes:
        step: optimizer steps done.
        total_steps: optimizer steps of the whole run.
        epoch: current epoch, from 0.
    """

    step: int = 0
    total_steps: int = 1
    epoch: int = 0

    @property
    def fraction(self) -> float:
        """Return the fraction of the steps done, from 0 to 1."""
        return min(1.0, self.step / max(1, self.total_steps))

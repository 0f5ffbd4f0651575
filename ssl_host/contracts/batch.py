"""Input and output of a method's step, and the plan and progress of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ssl_host.contracts.rng import BatchRNG


@dataclass(frozen=True)
class Batch:
    """Batch of images: their views, indices, labels and random numbers.

    Attributes:
        views: one normalised tensor (B, C, H, W) for each view; the full-size views come first.
        index: index of each image in the training data, shape (B,), int64.
        labels: class labels, shape (B,), int64, with -1 for an image without a label; None if
            there are none or the method does not use them.
        num_global: number of full-size views; the other views are small multi-crop views.
        rng: random numbers for the images of this batch, such as the places of masks; by default
            those of seed 0, epoch 0 and step 0.
    """

    views: list[Tensor]
    index: Tensor
    labels: Tensor | None = None
    num_global: int = 2
    rng: BatchRNG = field(default=None)  # type: ignore[assignment]  # set in __post_init__

    def __post_init__(self) -> None:
        if self.rng is None:
            object.__setattr__(self, "rng", BatchRNG(0, 0, self.index))


@dataclass
class StepOutput:
    """Output of a method's step: loss, features, rows for queues, and values to log.

    Attributes:
        loss: scalar tensor that requires a gradient.
        features: input of the online probe, shape (B, D); detached here, so the probe cannot send
            a gradient to the backbone.
        enqueue: maps the name of a :class:`~ssl_host.FeatureQueue` or
            :class:`~ssl_host.MovingAverage` of the method to the rows (B, D) that the host pushes
            into it after the optimizer step, so a step never reads its own rows. Any module with a
            method ``push(rows)`` works. For a :class:`~ssl_host.MemoryBank`, or another module
            with a method ``put(index, rows)``, the value is a pair (index, rows).
        logs: additional scalars to log, keyed by name.
    """

    loss: Tensor
    features: Tensor | None = None
    enqueue: Mapping[str, Tensor | tuple[Tensor, ...]] = field(default_factory=dict)
    logs: Mapping[str, Tensor | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.features is not None:
            self.features = self.features.detach()
        self.enqueue = {
            name: rows.detach()
            if isinstance(rows, Tensor)
            else tuple(part.detach() for part in rows)
            for name, rows in self.enqueue.items()
        }


def merge_outputs(outputs: Sequence[StepOutput]) -> StepOutput:
    """Return the last micro-batch's output, with the rows for queues from all micro-batches."""
    last = outputs[-1]
    if len(outputs) == 1:
        return last
    rows: dict[str, Tensor | tuple[Tensor, ...]] = {}
    for name, value in last.enqueue.items():
        values = [out.enqueue[name] for out in outputs]
        if isinstance(value, Tensor):
            rows[name] = torch.cat(values)  # type: ignore[arg-type]
        else:
            rows[name] = tuple(torch.cat(parts) for parts in zip(*values, strict=True))
    return replace(last, enqueue=rows)


@dataclass(frozen=True)
class Plan:
    """Length and data of a run, known when a method is built: ``self.plan``.

    Attributes:
        epochs: number of passes over the training images.
        steps_per_epoch: number of optimizer steps in an epoch.
        total_steps: number of optimizer steps in the run; 0 means epochs · steps_per_epoch.
        batch_size: number of images in an optimizer step, over all devices.
        num_images: number of training images N; ``batch.index`` is from 0 to N - 1.
        seed: seed of the run.
        image_size: side of a full-size view, in pixels.
        channels: number of channels of the images.
        mean: mean of each channel that is subtracted from the views, for pixels from 0 to 1.
        std: standard deviation of each channel, by which the views are divided.
        num_processes: number of processes that train together.
    """

    epochs: int = 1
    steps_per_epoch: int = 1
    total_steps: int = 0
    batch_size: int = 256
    num_images: int = 256
    seed: int = 0
    image_size: int = 224
    channels: int = 3
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    num_processes: int = 1

    def __post_init__(self) -> None:
        if not self.total_steps:
            object.__setattr__(self, "total_steps", max(1, self.epochs * self.steps_per_epoch))


@dataclass(frozen=True)
class Progress:
    """Progress of a run: steps done, total steps and current epoch.

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

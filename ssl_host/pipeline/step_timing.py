"""Time training steps on one batch with given ``[trainer]`` settings."""

from __future__ import annotations

import time

import torch

from ssl_host.compose import Experiment
from ssl_host.config.trainer_schema import TrainerSettings
from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.data.store import PixelArray, array_of
from ssl_host.errors import DataError
from ssl_host.toolkit.resizing import resize_to_square
from ssl_host.train.epoch_start import start_run_epoch
from ssl_host.train.loop import make_state
from ssl_host.train.param_groups import make_optimizer
from ssl_host.train.trainer_setup import compile_networks
from ssl_host.train.training_step import TrainingStep

TIMED_STEPS = 3
"""Number of steps that are timed, after one warm-up step."""


class StepTimer:
    """Timer for training steps, including the online probe and gradient clipping.

    Args:
        experiment: the method and all other components of the run.
        raw: one decoded micro-batch of a single process.
        plan: the plan that divides each epoch into batches.
        num_classes: the number of classes for the online probe; 0 means no probe.

    Attributes:
        losses: the losses of all steps so far.
        shapes: the shape of each view.
    """

    def __init__(
        self, experiment: Experiment, raw: RawBatch, plan: EpochPlan, num_classes: int
    ) -> None:
        config = experiment.config
        self.experiment = experiment
        self.plan = plan
        self.device = torch.device(config.trainer.accelerator)
        self.raw = raw.to(self.device)
        self.method = experiment.method.to(self.device)
        self.state = make_state(experiment, plan, num_classes)
        if self.state.probe is not None:
            self.state.probe.to(self.device)
        self.optimizer = make_optimizer(
            self.method,
            experiment.optimizer,
            experiment.optimizer.learning_rate(config.run.batch_size),
        )
        self.losses: list[float] = []
        self.shapes: list[list[int]] = []

    def start_epoch(self, pixels: PixelArray) -> None:
        """Call the method's ``on_epoch_start`` for the first epoch, with the training images."""
        step = TrainingStep(self.experiment, self.plan, self.state)
        start_run_epoch(step, pixels, self.device)

    def seconds_per_step(self, settings: TrainerSettings) -> float:
        """Run a few steps with these settings; return the median time of a step in seconds."""
        torch.set_num_threads(int(settings.num_threads))
        layout = torch.channels_last if settings.channels_last is True else torch.contiguous_format
        self.method.to(memory_format=layout)
        self._convert(torch.float64 if settings.precision == "64-true" else torch.float32)
        if settings.compile == "on":
            compile_networks(self.method)
        step = TrainingStep(self.experiment, self.plan, self.state, settings)
        times = []
        for _ in range(1 + TIMED_STEPS):
            start = time.perf_counter()
            step.run(self.raw, self.optimizer)
            self.losses.append(step.loss.item())
            if self.device.type != "cpu":  # the optimizer's work may still be queued
                getattr(torch, self.device.type).synchronize()
            times.append((time.perf_counter() - start) * settings.accumulate)
        self.shapes = [list(view.shape) for view in step.make_batch(self.raw).views]
        return sorted(times[1:])[TIMED_STEPS // 2]

    def _convert(self, dtype: torch.dtype) -> None:
        """Convert the weights to a dtype; if it is a new dtype, clear the optimizer state."""
        if next(self.method.parameters()).dtype != dtype:
            self.method.to(dtype)
            self.optimizer.state.clear()  # the state still has the previous dtype


def first_micro_batch(images: ImageDataset, plan: EpochPlan, size: int) -> RawBatch:
    """Return the first micro-batch of a single process, with decoded images."""
    count = plan.batch_size // plan.micro_batches // plan.world_size
    labels = None if images.labels is None else images.labels[:count]
    pixels = _first_images(images, count, size)
    return RawBatch(pixels, torch.arange(count), labels, epoch=0)


def _first_images(images: ImageDataset, count: int, size: int) -> torch.Tensor:
    """Return the first ``count`` readable images as one uint8 tensor (B, C, S, S).

    Images that are not in memory are made square, with the side ``size``.

    Raises:
        DataError: if fewer than ``count`` images can be read.
    """
    array = array_of(images)
    if array is not None:
        return array[:count]
    pixels = []
    for i in range(len(images)):
        try:
            pixels.append(resize_to_square(images.read(i), size, images.fit))
        except UnreadableImage:
            continue
        if len(pixels) == count:
            return torch.stack(pixels)
    raise DataError(
        f"[data] only {len(pixels)} of {len(images)} images can be read, but a step needs {count}; "
        "add images, or choose a smaller [run] batch_size"
    )

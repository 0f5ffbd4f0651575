"""Dry run: build a run and time a few training steps without writing any files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose, compose_data, num_trainable_parameters
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.error_locations import locate_errors
from ssl_host.config.run_config import RunConfig
from ssl_host.config.schema import TrainerSettings
from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.data.decoding import DecodedImages
from ssl_host.data.image_checks import check_images
from ssl_host.data.splits import num_probe_classes, open_splits
from ssl_host.data.store import array_of
from ssl_host.errors import DataError, NonFiniteError
from ssl_host.initial_weights import load_run_weights
from ssl_host.pipeline.frozen_networks import load_frozen_weights
from ssl_host.pipeline.listing import ListingProgress
from ssl_host.pipeline.loading_time import measure_loading
from ssl_host.pipeline.step_timing import TIMED_STEPS, StepTimer
from ssl_host.preflight import check_labels, config_warnings
from ssl_host.toolkit.cores import available_cores
from ssl_host.toolkit.resizing import resize_to_square
from ssl_host.train.loop import make_plan

SLOW_STEP_S = 3.0
"""Time of a step in seconds above which alternative settings are not timed."""


@dataclass(frozen=True)
class Alternative:
    """Time per training step after changing one ``[trainer]`` setting.

    Attributes:
        setting: name of the setting.
        value: value of the setting for which the time was measured.
        seconds_per_step: median time of a few optimizer steps, without decoding images.
    """

    setting: str
    value: Any
    seconds_per_step: float


@dataclass(frozen=True)
class Estimate:
    """Size of a run and its estimated training time.

    Attributes:
        name: the name of the run.
        method: the name of the method; ``backbone`` and ``data`` are also names of components.
        train_images: the number of training images.
        test_images: the number of held-out images; None if there are none.
        parameters: the number of trainable parameters.
        backbone_parameters: the number of parameters of the backbone.
        feature_dim: the width of the features.
        views: the shape of each view of one micro-batch.
        steps_per_epoch: the number of optimizer steps in an epoch.
        total_steps: the number of optimizer steps in the run.
        first_loss: the loss of the first step.
        seconds_per_step: the median time of a few optimizer steps, without decoding images.
        images_per_s: the number of images per second at that speed.
        decode_ms: the time to decode one image in one thread, in milliseconds; 0 if no images
            have to be decoded.
        decoding: a description of which images are decoded, and when.
        packing_minutes: the estimated time to decode and pack images before the first step.
        loaded_seconds_per_step: the estimated time of a step if images are decoded in every epoch.
        training_minutes: the estimated time of packing and of all training steps with decoding,
            without evaluation.
        starts_from: a sentence about the weights that ``[run] init_from`` names, or None.
        notes: remarks about the configuration, the images and how they are split.
        warnings: remarks about settings and images that are probably not as intended.
        alternatives: the time per step after changing one ``[trainer]`` setting, for several
            settings. These times are only printed; ``auto`` does not use them.
    """

    name: str
    method: str
    backbone: str
    data: str
    train_images: int
    test_images: int | None
    parameters: int
    backbone_parameters: int
    feature_dim: int
    views: list[list[int]]
    steps_per_epoch: int
    total_steps: int
    first_loss: float
    seconds_per_step: float
    images_per_s: float
    decode_ms: float
    decoding: str
    packing_minutes: float
    loaded_seconds_per_step: float
    training_minutes: float
    starts_from: str | None
    notes: list[str]
    warnings: list[str]
    alternatives: list[Alternative]

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as a dictionary of JSON types."""
        return asdict(self)

    def table(self) -> Table:
        """Return the estimate as a table for the terminal."""
        table = Table("dry run", "", box=None, pad_edge=False)
        rows = {
            "run": self.name,
            "components": f"{self.method}, {self.backbone}, {self.data}",
            "images": f"{self.train_images:,} for training, {self.test_images or 0:,} for testing",
            "views": ", ".join("x".join(map(str, shape)) for shape in self.views),
            "parameters": f"{self.parameters:,}, in the backbone {self.backbone_parameters:,}",
            "features": f"{self.feature_dim} per image",
            "steps": f"{self.total_steps:,}, {self.steps_per_epoch:,} per epoch",
            **({} if self.starts_from is None else {"weights": self.starts_from}),
            "first loss": f"{self.first_loss:.4f}",
            "time per step": f"{1000 * self.seconds_per_step:.0f} ms, "
            f"{self.images_per_s:.0f} images/s (median of {TIMED_STEPS}, without decoding)",
            "decoding": self.decoding,
            "training time": _format_minutes(self.training_minutes) + self._time_parts(),
        }
        for alternative in self.alternatives:
            seconds = alternative.seconds_per_step
            rows[f"{alternative.setting} = {alternative.value}"] = (
                f"{1000 * seconds:.0f} ms per step, "
                f"{self.seconds_per_step / seconds:.2f} times as fast"
            )
        remarks = {"note": self.notes, "warning": self.warnings}
        texts = [(name, text) for name, texts in remarks.items() for text in texts]
        for name, value in [*rows.items(), *texts]:
            table.add_row(name, value)
        return table

    def _time_parts(self) -> str:
        """Return the parts of the training time as text, for the end of a sentence."""
        shares = []
        if self.packing_minutes:
            shares.append(f"{_format_minutes(self.packing_minutes)} of it for packing images")
        if self.loaded_seconds_per_step > 1.05 * self.seconds_per_step:
            shares.append(
                f"{1000 * self.loaded_seconds_per_step:.0f} ms per step, because decoding is slower"
            )
        return ", ".join(["", *shares, "plus evaluation"])


def dry_run(config: RunConfig, catalog: Catalog, console: Console | None = None) -> Estimate:
    """Build a run, time a few training steps on one batch, and estimate the training time.

    Args:
        config: the configuration of the run.
        catalog: the catalog of installed components.
        console: the console on which progress is printed; None means no output.

    Returns:
        The size of the run and its estimated training time.

    Raises:
        UserError: if the input has an error that would prevent the run from starting.
        NonFiniteError: if the first loss is NaN.
    """
    with locate_errors(config):
        return _dry_run(config, catalog, console)


def _dry_run(config: RunConfig, catalog: Catalog, console: Console | None) -> Estimate:
    """Return the estimated cost of a run; raises as :func:`dry_run` does."""
    config = resolve_auto(config)
    catalog.call("config_resolved", config=config.values())
    source, views = compose_data(config)
    progress = None if console is None else ListingProgress(console)
    splits = open_splits(source, config.loader.holdout, progress)
    experiment = compose(config, (source, views), len(splits.train))
    method = experiment.method
    load_frozen_weights(method, config, catalog)
    starts_from = None
    if config.run.init_from is not None:
        starts_from = load_run_weights(method.backbone, config.run, catalog)
    plan = make_plan(config, len(splits.train))
    check_labels(config, method, splits.train.labels)
    raw = _first_micro_batch(splits.train, plan, source.image_size)
    num_classes = num_probe_classes(splits.train.labels, splits.classes)
    steps = StepTimer(experiment, raw, plan, num_classes)
    array = array_of(splits.train)
    decoded = DecodedImages(splits.train, source.channels, source.image_size)
    steps.start_epoch(decoded if array is None else array)
    per_step = steps.seconds_per_step(config.trainer)
    if math.isnan(steps.losses[0]):
        raise NonFiniteError(
            "the loss of the first training step is NaN; check the settings of [method] and "
            "[loss], or set [trainer] precision = 32-true"
        )
    warnings, notes = check_images(splits.train, source)
    loading = measure_loading(experiment, splits)
    num_steps, share = config.run.epochs * plan.steps, plan.batch_size // plan.world_size
    loaded_per_step = loading.seconds_per_step(per_step, config.trainer, share)
    return Estimate(
        name=config.run.name,
        method=config.components["method"].name,
        backbone=config.components["backbone"].name,
        data=config.components["data"].name,
        train_images=len(splits.train),
        test_images=None if splits.test is None else len(splits.test),
        parameters=num_trainable_parameters(method),
        backbone_parameters=sum(p.numel() for p in method.backbone.parameters()),
        feature_dim=method.backbone.feature_dim,
        views=steps.shapes,
        steps_per_epoch=plan.steps,
        total_steps=num_steps,
        first_loss=steps.losses[0],
        seconds_per_step=per_step,
        images_per_s=config.run.batch_size / per_step,
        decode_ms=1000 * loading.decode_s,
        decoding=loading.describe(),
        packing_minutes=loading.packing_s / 60,
        loaded_seconds_per_step=loaded_per_step,
        training_minutes=(loading.packing_s + loaded_per_step * num_steps) / 60,
        starts_from=starts_from,
        notes=[*config.notes, *experiment.notes, *splits.notes, *notes],
        warnings=[*config_warnings(config, method), *warnings],
        alternatives=list(_alternatives(steps, config.trainer, per_step)),
    )


def _alternatives(
    steps: StepTimer, settings: TrainerSettings, per_step: float
) -> Iterator[Alternative]:
    """Yield the time of a step with each of several ``[trainer]`` settings changed.

    ``compile`` is not tried, because compiling takes longer than all other timings together.
    """
    if per_step > SLOW_STEP_S:
        return
    on_cpu = settings.accelerator == "cpu"
    half = ("bf16-mixed",) if on_cpu else ("bf16-mixed", "16-mixed")
    others: dict[str, tuple[Any, ...]] = {
        "precision": ("32-true", *half),
        "channels_last": (False, True),
        "num_threads": (1, available_cores()) if on_cpu else (),
    }
    for setting, values in others.items():
        for value in dict.fromkeys(values):
            if value != getattr(settings, setting):
                changed = settings.model_copy(update={setting: value})
                yield Alternative(setting, value, steps.seconds_per_step(changed))


def _first_micro_batch(images: ImageDataset, plan: EpochPlan, size: int) -> RawBatch:
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


def _format_minutes(minutes: float) -> str:
    """Return a duration as text in seconds, minutes or hours."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"

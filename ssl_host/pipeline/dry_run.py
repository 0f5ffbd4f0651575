"""``--dry-run``: everything is composed, a few steps are made, nothing is written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.table import Table

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.run_config import RunConfig
from ssl_host.config.schema import TrainerSettings
from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.data.splits import open_splits
from ssl_host.data.store import array_of
from ssl_host.errors import DataError, NonFiniteError
from ssl_host.pipeline.step_timing import TIMED_STEPS, StepTimer
from ssl_host.toolkit.cores import available_cores
from ssl_host.toolkit.image_files import resize_and_crop
from ssl_host.train.trainer_setup import num_processes
from ssl_host.weights import load_initial_weights

SLOW = 3.0
"""Seconds a step from which on the alternatives are not timed: they would take minutes."""


@dataclass(frozen=True)
class Alternative:
    """A step with one setting of ``[trainer]`` changed."""

    setting: str
    value: Any
    seconds_per_step: float


@dataclass(frozen=True)
class Estimate:
    """What a run would cost.

    Attributes:
        parameters: trainable ones.
        seconds_per_step: the median of a few steps, image decoding left out.
        alternatives: the same with one setting of ``[trainer]`` changed, for whoever wants to
            choose: ``auto`` decides from the hardware's features, never from a timing.
        training_minutes: that, times the steps; evaluation comes on top.
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
    training_minutes: float
    starts_from: str | None
    alternatives: list[Alternative]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def table(self) -> Table:
        """For the terminal."""
        view = Table("a dry run", "", box=None, pad_edge=False)
        shown = {
            "run": self.name,
            "made of": f"{self.method}, {self.backbone}, {self.data}",
            "images": f"{self.train_images:,} to train on, "
            + ("none held out" if self.test_images is None else f"{self.test_images:,} held out"),
            "views of a batch": ", ".join("x".join(map(str, shape)) for shape in self.views),
            "parameters": f"{self.parameters:,}, of which backbone {self.backbone_parameters:,}",
            "features": f"{self.feature_dim} numbers an image",
            "steps": f"{self.total_steps:,}, {self.steps_per_epoch:,} an epoch",
            **({} if self.starts_from is None else {"weights": self.starts_from}),
            "first loss": f"{self.first_loss:.4f}",
            "a step": f"{1000 * self.seconds_per_step:.0f} ms, {self.images_per_s:.0f} images/s "
            f"(median of {TIMED_STEPS}, decoding left out)",
            "training": _minutes(self.training_minutes) + " and the evaluation",
        }
        for other in self.alternatives:
            faster = self.seconds_per_step / other.seconds_per_step
            shown[f"{other.setting} = {other.value}"] = (
                f"{1000 * other.seconds_per_step:.0f} ms a step, {faster:.2f} times as fast"
            )
        for name, value in shown.items():
            view.add_row(name, value)
        return view


def dry_run(config: RunConfig, catalog: Catalog) -> Estimate:
    """Compose, read one batch, make a few steps on it.

    Raises:
        UserError: for anything that would keep the run from starting.
        NonFiniteError: when the very first loss is not a number.
    """
    config = resolve_auto(config)
    catalog.call("config_resolved", config=config.values())
    experiment = compose(config)
    method, source = experiment.method, experiment.source
    started = None
    if config.run.init_from is not None:
        started = load_initial_weights(method.backbone, config.run.init_from)
    splits = open_splits(source, config.loader.holdout)
    batch, parts = config.run.batch_size, config.trainer.accumulate
    processes = num_processes(experiment)
    plan = EpochPlan(len(splits.train), batch, config.run.seed, parts, world_size=processes)
    share = batch // parts // processes  # of one device; the others work at the same time
    labels = splits.train.labels
    raw = RawBatch(
        _first_images(splits.train, share, source.image_size),
        torch.arange(share),
        None if labels is None or not method.uses_labels else labels[:share],
        0,
    )
    steps = StepTimer(experiment, raw, plan)
    per_step = steps.seconds(config.trainer)
    if math.isnan(steps.losses[0]):
        raise NonFiniteError("the loss of the very first batch is not a number")
    return Estimate(
        name=config.run.name,
        method=config.components["method"].name,
        backbone=config.components["backbone"].name,
        data=config.components["data"].name,
        train_images=len(splits.train),
        test_images=None if splits.test is None else len(splits.test),
        parameters=sum(p.numel() for _, p in method.trainable_parameters()),
        backbone_parameters=sum(p.numel() for p in method.backbone.parameters()),
        feature_dim=method.backbone.feature_dim,
        views=steps.shapes,
        steps_per_epoch=plan.steps,
        total_steps=config.run.epochs * plan.steps,
        first_loss=steps.losses[0],
        seconds_per_step=per_step,
        images_per_s=config.run.batch_size / per_step,
        training_minutes=per_step * config.run.epochs * plan.steps / 60,
        starts_from=started,
        alternatives=list(_alternatives(steps, config.trainer, per_step)),
    )


def _alternatives(
    steps: StepTimer, settings: TrainerSettings, per_step: float
) -> Iterator[Alternative]:
    """The other values that matter on this hardware, one changed at a time.

    Not ``compile``: compiling takes longer than anything here; a dry run with it on times it.
    """
    if per_step > SLOW:
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
                yield Alternative(setting, value, steps.seconds(changed))


def _first_images(images: ImageDataset, wanted: int, size: int) -> torch.Tensor:
    found = array_of(images)
    if found is not None:
        return found[:wanted]
    rows = []
    for i in range(len(images)):
        try:
            rows.append(resize_and_crop(images.read(i), size))
        except UnreadableImage:
            continue
        if len(rows) == wanted:
            return torch.stack(rows)
    raise DataError(
        f"[data] only {len(rows)} of {len(images)} images can be read, and a step takes {wanted}"
    )


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"

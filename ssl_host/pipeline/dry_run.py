"""``--dry-run``: everything is composed, a few steps are made, nothing is written."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.table import Table

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolved import Resolved
from ssl_host.contracts.batch import Batch
from ssl_host.contracts.data import ImageSet, UnreadableImage
from ssl_host.data.batches import EpochPlan
from ssl_host.data.splits import open_splits
from ssl_host.data.store import array_of, fit
from ssl_host.errors import DataError, NonFiniteError
from ssl_host.train.groups import make_optimizer, set_rates
from ssl_host.train.settle import settle

TIMED_STEPS = 3
"""Steps that are timed, after one that warms up."""


@dataclass(frozen=True)
class Estimate:
    """What a run would cost.

    Attributes:
        parameters: trainable ones.
        seconds_per_step: the median of a few steps, image decoding left out.
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
            "first loss": f"{self.first_loss:.4f}",
            "a step": f"{1000 * self.seconds_per_step:.0f} ms, {self.images_per_s:.0f} images/s "
            f"(median of {TIMED_STEPS}, decoding left out)",
            "training": _minutes(self.training_minutes) + " and the evaluation",
        }
        for name, value in shown.items():
            view.add_row(name, value)
        return view


def dry_run(config: Resolved, catalog: Catalog) -> Estimate:
    """Compose, read one batch, make a few steps on it.

    Raises:
        UserError: for anything that would keep the run from starting.
        NonFiniteError: when the very first loss is not a number.
    """
    config = settle(config)
    catalog.hooks.config_resolved(config=config.values())
    torch.set_num_threads(int(config.trainer.num_threads))
    experiment = compose(config)
    method, source = experiment.method, experiment.source
    splits = open_splits(source, config.loader.holdout)
    plan = EpochPlan(
        len(splits.train), config.run.batch_size, config.run.seed, config.trainer.accumulate
    )
    total = max(1, config.run.epochs * plan.steps)
    share = config.run.batch_size // config.trainer.accumulate
    images = _first_images(splits.train, share, source.image_size)
    labels = splits.train.labels
    device = torch.device(config.trainer.accelerator)
    method.to(device)
    optimizer = make_optimizer(
        method, experiment.optimizer, experiment.optimizer.learning_rate(config.run.batch_size)
    )
    index = torch.arange(len(images))
    times, losses, shapes = [], [], []
    for step in range(1 + TIMED_STEPS):
        begun = time.perf_counter()
        views = experiment.views(images.to(device), index.to(device), 0, config.run.seed)
        shapes = [list(view.shape) for view in views]
        own = (
            labels[: len(images)].to(device) if labels is not None and method.uses_labels else None
        )
        out = method.step(Batch(views, index.to(device), own, experiment.views.num_global))
        losses.append(float(out.loss.detach()))
        set_rates(optimizer, experiment.scheduler, step, total, plan.steps)
        optimizer.zero_grad(set_to_none=True)
        out.loss.backward()
        optimizer.step()
        method.advance(out, step, total)
        times.append((time.perf_counter() - begun) * config.trainer.accumulate)
    if losses[0] != losses[0]:
        raise NonFiniteError("the loss of the very first batch is not a number")
    per_step = sorted(times[1:])[TIMED_STEPS // 2]
    return Estimate(
        name=config.run.name,
        method=config.parts["method"].name,
        backbone=config.parts["backbone"].name,
        data=config.parts["data"].name,
        train_images=len(splits.train),
        test_images=None if splits.test is None else len(splits.test),
        parameters=sum(p.numel() for _, p in method.trainable_parameters()),
        backbone_parameters=sum(p.numel() for p in method.backbone.parameters()),
        feature_dim=method.backbone.feature_dim,
        views=shapes,
        steps_per_epoch=plan.steps,
        total_steps=config.run.epochs * plan.steps,
        first_loss=losses[0],
        seconds_per_step=per_step,
        images_per_s=config.run.batch_size / per_step,
        training_minutes=per_step * config.run.epochs * plan.steps / 60,
    )


def _first_images(images: ImageSet, wanted: int, size: int) -> torch.Tensor:
    found = array_of(images)
    if found is not None:
        return found[:wanted]
    rows = []
    for i in range(len(images)):
        try:
            rows.append(fit(images.read(i), size))
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

"""Short training runs for the speed cases, with ssl-host and with pytorch-lightning alone."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
from rich.console import Console

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import Experiment, compose
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.resolve import resolve_sections
from ssl_host.data.datasets import open_datasets
from ssl_host.train.loop import fit

BATCH_SIZE = 128
RESNET = {"name": "timm", "model": "resnet18", "stem": "cifar"}
SMALL = {"name": "small_conv"}


class StepTimer(pl.Callback):
    """Callback that times all steps after the first few, which include start-up work."""

    def __init__(self, num_skipped: int) -> None:
        self.num_skipped = num_skipped
        self.num_steps = 0
        self.start = self.end = 0.0

    def on_train_batch_end(self, *_: object) -> None:
        self.num_steps += 1
        self.end = time.perf_counter()
        if self.num_steps == self.num_skipped:
            self.start = self.end

    def seconds_per_step(self) -> float:
        """Return the mean time of the counted steps."""
        return (self.end - self.start) / (self.num_steps - self.num_skipped)


class EpochTimer(pl.Callback):
    """Callback that times whole epochs after the first, each from the end of the previous one."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, *_: object) -> None:
        self.ends.append(time.perf_counter())

    def seconds_per_epoch(self) -> float:
        """Return the mean time of the counted epochs."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def build_quiet_trainer(
    timer: pl.Callback, epochs: int = 1, precision: str = "32-true"
) -> pl.Trainer:
    """Return a pytorch-lightning trainer for the CPU with all optional features off."""
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[timer],
    )


def build_experiment(
    backbone: dict,
    steps: int,
    method_name: str = "simclr",
    batch_size: int = BATCH_SIZE,
    **sections: dict,
) -> Experiment:
    """Build a run of one epoch in float32, without the online probe.

    Args:
        sections: replace the sections of the same name; None leaves one out.
    """
    defaults = {
        "run": {"epochs": 1, "batch_size": batch_size},
        "data": {"name": "synthetic", "num_images": steps * batch_size, "image_size": 32},
        "method": {"name": method_name},
        "backbone": backbone,
        "head.projector": {"hidden_dim": 256, "output_dim": 64},
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
        "scheduler": {"warmup_epochs": 0},
        "trainer": {"precision": "32-true", "num_threads": 2},
        "probe": {"enabled": False},
    }
    chosen = {name: values for name, values in (defaults | sections).items() if values is not None}
    config = resolve_sections(chosen, Catalog())
    return compose(resolve_auto(config))


def time_host_step(experiment: Experiment, num_skipped: int) -> float:
    """Return the seconds per step of ssl-host's own training, from loader to metrics rows."""
    timer = StepTimer(num_skipped)
    train_experiment(experiment, timer)
    return timer.seconds_per_step()


def train_experiment(experiment: Experiment, timer: pl.Callback) -> None:
    """Train with ssl-host's own loop, including its checkpoints."""
    images = open_datasets(experiment.source, experiment.views, experiment.config.loader)
    with tempfile.TemporaryDirectory() as folder:
        for logger in experiment.loggers.values():
            logger.start(ssl_host.Run("speed", Path(folder), 0, {}))
        fit(
            experiment,
            images.make_loader,
            images.train.images,
            0,
            Path(folder) / "checkpoints",
            Console(quiet=True),
            [timer],
        )

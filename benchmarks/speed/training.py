"""Short trainings that the cases time: the host's own, and pytorch-lightning's."""

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

BATCH = 128
RESNET = {"name": "timm", "model": "resnet18", "stem": "cifar"}
SMALL = {"name": "small_conv"}


class TrainingTimer(pl.Callback):
    """Times the steps after the first few, which set things up."""

    def __init__(self, skip: int) -> None:
        self.skip = skip
        self.seen = 0
        self.begun = self.ended = 0.0

    def on_train_batch_end(self, *_: object) -> None:
        self.seen += 1
        self.ended = time.perf_counter()
        if self.seen == self.skip:
            self.begun = self.ended

    def seconds(self) -> float:
        """Of one step."""
        return (self.ended - self.begun) / (self.seen - self.skip)


class EpochClock(pl.Callback):
    """Times whole epochs after the first, from the end of one to the end of the next."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, *_: object) -> None:
        self.ends.append(time.perf_counter())

    def seconds(self) -> float:
        """Of one epoch."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def quiet_trainer(clock: pl.Callback, epochs: int = 1, precision: str = "32-true") -> pl.Trainer:
    """pytorch-lightning without what may be left out, on the CPU."""
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    )


def experiment(
    backbone: dict, steps: int, method: str = "simclr", batch: int = BATCH, **sections: dict
) -> Experiment:
    """A run of one epoch in float32; the online probe is left out on every side."""
    config = resolve_sections(
        {
            "run": {"epochs": 1, "batch_size": batch},
            "data": {"name": "synthetic", "num_images": steps * batch, "image_size": 32},
            "method": {"name": method},
            "backbone": backbone,
            "head.projector": {"hidden_dim": 256, "output_dim": 64},
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
            "scheduler": {"warmup_epochs": 0},
            "trainer": {"precision": "32-true", "num_threads": 2},
            "probe": {"enabled": False},
            **sections,
        },
        Catalog(),
    )
    return compose(resolve_auto(config))


def hosts(made: Experiment, skip: int) -> float:
    """Seconds a step in the host's own training: loader, views, step, schedule, rows, Lightning."""
    clock = TrainingTimer(skip)
    train(made, clock)
    return clock.seconds()


def train(made: Experiment, clock: pl.Callback) -> None:
    """The host's own training, with its checkpoints."""
    images = open_datasets(made.source, made.views, made.config.loader)
    with tempfile.TemporaryDirectory() as folder:
        for logger in made.loggers.values():
            logger.start(ssl_host.Run("speed", Path(folder), 0, {}))
        fit(
            made,
            images.make_loader,
            len(images.train),
            0,
            Path(folder) / "checkpoints",
            Console(quiet=True),
            [clock],
        )

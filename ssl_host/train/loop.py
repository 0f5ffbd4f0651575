"""Trains an experiment from wherever its folder's last checkpoint left it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console

from ssl_host.compose import Experiment
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.data.prefetch import prefetch
from ssl_host.errors import CheckpointError, RunError
from ssl_host.toolkit.distributed import is_lost_process
from ssl_host.train.callbacks import TrainingCallback
from ssl_host.train.checkpoint import last_written, read_newest
from ssl_host.train.module import PretrainModule
from ssl_host.train.nonfinite import remove_failed_steps
from ssl_host.train.probe import OnlineProbe
from ssl_host.train.progress import ProgressBar
from ssl_host.train.signals import graceful_shutdown, quiet_lightning
from ssl_host.train.timer import TrainingTimer
from ssl_host.train.trainer_setup import (
    check_processes_agree,
    is_first_process,
    make_trainer,
    num_processes,
    prepare_network,
    restore_lightning_counters,
)

MakeLoader = Callable[[EpochPlan], Any]
"""Makes the loader of a plan: iterates batches from its ``epoch`` and ``start``, and says by
``reads_disk`` whether the next one is worth making ahead."""


@dataclass
class Training:
    """The outcome of a training.

    Attributes:
        clock: the time that it took.
    """

    module: PretrainModule
    probe: OnlineProbe | None
    is_first: bool
    clock: TrainingTimer

    @property
    def images_per_s(self) -> float | None:
        """Training images over the time in which any process trained; None without a step."""
        images = self.module.step * self.module.plan.batch_size
        return images / self.clock.trained_s if images and self.clock.trained_s else None

    @property
    def data_wait_fraction(self) -> float | None:
        """Part of that time in which a step waited for images."""
        trained = self.clock.trained_s
        return min(1.0, self.clock.waited_s / trained) if trained else None


class _ResumableLoader:
    """A loader that begins where training stands, and tells the clock how long its user waited.

    Lightning iterates a loader more often than there are epochs; what training has consumed is
    the only count that can be trusted.
    """

    def __init__(self, loader: Any, module: PretrainModule, clock: TrainingTimer) -> None:
        self.loader = loader
        self.module = module
        self.clock = clock

    def __iter__(self) -> Iterator[RawBatch]:
        self.loader.epoch, self.loader.start = self.module.epoch, self.module.step_in_epoch
        source = iter(self.loader)
        on_gpu = self.module.device.type == "cuda"
        if on_gpu:
            # From page-locked memory a GPU takes them without waiting.
            source = prefetch(batch.pinned() for batch in source)
        elif self.loader.reads_disk:
            source = prefetch(source)
        while True:
            start = time.perf_counter()
            batch = next(source, None)
            self.clock.waited_s += time.perf_counter() - start
            if batch is None:
                return
            yield batch


class _Module(PretrainModule):
    """The module with its loader: made once the processes are there."""

    make_loader: MakeLoader
    clock: TrainingTimer

    def setup(self, stage: str) -> None:
        trainer = self.trainer
        self.plan = replace(self.plan, rank=trainer.global_rank, world_size=trainer.world_size)
        check_processes_agree(self.experiment.config.trainer)

    def train_dataloader(self) -> Any:
        return _ResumableLoader(self.make_loader(self.plan), self, self.clock)


def fit(
    experiment: Experiment,
    make_loader: MakeLoader,
    num_images: int,
    num_classes: int,
    folder: Path,
    console: Console,
    callbacks: Sequence[pl.Callback] = (),
    name_of: Callable[[int], str] = "image {}".format,
    begin: Callable[[int], None] = lambda _: None,
) -> Training:
    """Train to the end, going on from the folder's newest sound checkpoint.

    Args:
        num_classes: of the online probe; 0 for none.
        folder: of the checkpoints.
        name_of: what messages call a training image.
        begin: told how many steps are done already, once that is known.

    Raises:
        RunError: when a number is not finite.
        Preempted: when a signal asked for the end; the state is written.
    """
    torch.set_num_threads(int(experiment.config.trainer.num_threads))
    module = _make_module(experiment, num_images, num_classes)
    module.make_loader, module.name_of = make_loader, name_of
    module.checkpoints = folder
    remove_failed_steps(folder.parent)
    resumed = _resume(module, folder, console)
    module.clock = TrainingTimer(None if resumed is None else resumed.get("clock"))
    training = Training(module, module.probe, is_first_process(), module.clock)
    begin(module.step)
    if module.epoch < experiment.config.run.epochs:
        _train(training, folder, console, callbacks, resumed)
    elif module.probe is not None and resumed is not None and resumed["probe"] is not None:
        module.probe.load_state_dict(resumed["probe"])
    return training


def _make_module(experiment: Experiment, num_images: int, num_classes: int) -> _Module:
    config = experiment.config
    batch, seed = config.run.batch_size, config.run.seed
    if config.run.epochs:
        processes = num_processes(experiment)
        plan = EpochPlan(num_images, batch, seed, config.trainer.accumulate, world_size=processes)
    else:  # nothing is trained: a batch that is larger than the set or cannot be shared is no error
        plan = EpochPlan(num_images, min(batch, num_images), seed)
    probe = None
    if config.probe.enabled and num_classes:
        dim = experiment.method.backbone.feature_dim
        probe = OnlineProbe(config.probe, dim, num_classes, config.run.seed)
    return _Module(experiment, plan, probe)


def _resume(module: PretrainModule, folder: Path, console: Console) -> dict[str, Any] | None:
    """Put the network where the newest sound checkpoint has it; returns that checkpoint."""
    resumed, complaints = read_newest(folder)
    for complaint in complaints:
        console.print(f"warning: {complaint}", style="yellow")
    if resumed is not None:
        _load(module.method, resumed["method"])
        module.step = int(resumed["step"])
        module.epoch = int(resumed["epoch"])
        module.step_in_epoch = int(resumed["step_in_epoch"])
        module.method.progress = replace(
            module.method.progress, step=module.step, total_steps=module.total_steps
        )
    return resumed


def _train(
    training: Training,
    folder: Path,
    console: Console,
    callbacks: Sequence[pl.Callback],
    resumed: dict[str, Any] | None,
) -> None:
    """The epochs that are left."""
    module, world_size = training.module, training.module.plan.world_size
    experiment = module.experiment
    settings = experiment.config.trainer
    prepare_network(module, settings.accelerator, world_size)
    with graceful_shutdown() as requested, quiet_lightning():
        keeper = TrainingCallback(
            folder,
            experiment.config.checkpoint,
            experiment.loggers if training.is_first else {},
            settings.log_every,
            ProgressBar(console) if training.is_first else None,
            lambda text: console.print(text, style="yellow"),
            requested.is_set,
            resumed,
            training.clock,
        )
        trainer = make_trainer(experiment, [keeper, *callbacks])
        restore_lightning_counters(trainer, module)
        training.clock.start()
        try:
            trainer.fit(module)
        except Exception as error:
            if world_size > 1 and is_lost_process(error):
                raise _lost(module, folder) from error
            raise
        training.clock.stop()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # The others are done; what follows is computed once, by the first process alone.
        torch.distributed.destroy_process_group()


def _load(method: torch.nn.Module, state: dict[str, Any]) -> None:
    try:
        method.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"the checkpoint is of another network: {str(error).strip().splitlines()[-1].strip()}. "
            "A plugin or library may have changed since it was written: install the versions that "
            "environment.json names, or use --fresh to begin anew"
        ) from None


def _lost(module: PretrainModule, folder: Path) -> RunError:
    plan = module.plan
    return RunError(
        f"process {plan.rank} of {plan.world_size} lost contact with another one in step "
        f"{module.step}: that one ended, and its own message says why (killed, out of memory, an "
        f"error). {last_written(folder)}; give the same command again"
    )

"""Trains an experiment from wherever its folder's last checkpoint left it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy, Strategy
from rich.console import Console

from ssl_host.compose import Experiment
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.data.prefetch import ahead
from ssl_host.errors import CheckpointError, RunError
from ssl_host.toolkit.batchnorm import synchronise_batchnorm
from ssl_host.toolkit.dead_taps import guard_convolutions
from ssl_host.toolkit.distributed import is_lost_process
from ssl_host.train.clock import Clock
from ssl_host.train.failure import forget_failed_steps
from ssl_host.train.keeper import Keeper
from ssl_host.train.module import PretrainModule
from ssl_host.train.probe import OnlineProbe
from ssl_host.train.progress import ProgressBar
from ssl_host.train.state import last_written, read_newest
from ssl_host.train.surroundings import quiet_lightning, stop_requests

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
    clock: Clock

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


class _Positioned:
    """A loader that begins where training stands, and tells the clock how long its user waited.

    Lightning iterates a loader more often than there are epochs; what training has consumed is
    the only count that can be trusted.
    """

    def __init__(self, loader: Any, module: PretrainModule, clock: Clock) -> None:
        self.loader = loader
        self.module = module
        self.clock = clock

    def __iter__(self) -> Iterator[RawBatch]:
        self.loader.epoch, self.loader.start = self.module.epoch, self.module.step_in_epoch
        source = iter(self.loader)
        on_gpu = self.module.device.type == "cuda"
        if on_gpu:
            # From page-locked memory a GPU takes them without waiting.
            source = ahead(batch.pinned() for batch in source)
        elif self.loader.reads_disk:
            source = ahead(source)
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
    clock: Clock

    def setup(self, stage: str) -> None:
        trainer = self.trainer
        self.plan = replace(self.plan, rank=trainer.global_rank, world_size=trainer.world_size)

    def train_dataloader(self) -> Any:
        return _Positioned(self.make_loader(self.plan), self, self.clock)


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
    config = experiment.config
    world_size = num_processes(experiment)
    torch.set_num_threads(int(config.trainer.num_threads))
    plan = EpochPlan(
        num_images,
        # Nothing is trained in 0 epochs: a set smaller than the batch is then no error.
        config.run.batch_size if config.run.epochs else min(config.run.batch_size, num_images),
        config.run.seed,
        config.trainer.accumulate,
        world_size=world_size,
    )
    probe = None
    if config.probe.enabled and num_classes:
        dim = experiment.method.backbone.feature_dim
        probe = OnlineProbe(config.probe, dim, num_classes, config.run.seed)
    module = _Module(experiment, plan, probe)
    module.make_loader, module.name_of = make_loader, name_of
    module.checkpoints = folder
    forget_failed_steps(folder.parent)
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
    is_first = is_first_process()
    clock = module.clock = Clock(None if resumed is None else resumed.get("clock"))
    begin(module.step)
    if module.epoch >= config.run.epochs:
        if probe is not None and resumed is not None and resumed["probe"] is not None:
            probe.load_state_dict(resumed["probe"])
        return Training(module, probe, is_first, clock)
    _prepare_network(module, config.trainer.accelerator, world_size)
    with stop_requests() as requested, quiet_lightning():
        keeper = Keeper(
            folder,
            config.checkpoint,
            experiment.loggers if is_first else {},
            config.trainer.log_every,
            ProgressBar(console) if is_first else None,
            lambda text: console.print(text, style="yellow"),
            requested.is_set,
            resumed,
            clock,
        )
        trainer = _trainer(experiment, [keeper, *callbacks])
        _count_from(trainer, module)
        clock.start()
        try:
            trainer.fit(module)
        except Exception as error:
            if world_size > 1 and is_lost_process(error):
                raise _lost(module, folder, plan.world_size) from error
            raise
        clock.stop()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # The others are done; what follows is computed once, by the first process alone.
        torch.distributed.destroy_process_group()
    return Training(module, probe, is_first, clock)


def _load(method: torch.nn.Module, state: dict[str, Any]) -> None:
    try:
        method.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"the checkpoint is of another network: {str(error).strip().splitlines()[-1].strip()}. "
            "A plugin or library may have changed since it was written: install the versions that "
            "environment.json names, or use --fresh to begin anew"
        ) from None


def _lost(module: PretrainModule, folder: Path, world_size: int) -> RunError:
    return RunError(
        f"process {module.plan.rank} of {world_size} lost contact with another one in step "
        f"{module.step}: that one ended, and its own message says why (killed, out of memory, an "
        f"error). {last_written(folder)}; give the same command again"
    )


def is_first_process() -> bool:
    """Whether this is rank 0, as Lightning or a launcher has told by the environment."""
    return int(getattr(pl.utilities.rank_zero_only, "rank", 0)) == 0


def num_processes(experiment: Experiment) -> int:
    """Processes that train together, over all nodes."""
    trainer = experiment.config.trainer
    devices = trainer.devices
    local = len(devices) if isinstance(devices, list) else int(devices)
    return local * trainer.num_nodes


def _prepare_network(module: PretrainModule, accelerator: str, world_size: int) -> None:
    if world_size > 1 and module.method.sync_batchnorm:
        module.method = _synchronised(module.method, accelerator)
    if world_size > 1 and module.probe is not None:
        module.probe.network = _synchronised(module.probe.network, accelerator)
    if accelerator == "cpu" and module.experiment.config.trainer.precision == "bf16-mixed":
        guard_convolutions(module.method)
    if module.channels_last:
        module.method.to(memory_format=torch.channels_last)
    if module.experiment.config.trainer.compile == "on":
        module.method.compile()


def _synchronised(network: Any, accelerator: str) -> Any:
    """The network with batch statistics over all processes."""
    if accelerator == "cuda":
        return torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)
    synchronise_batchnorm(network)
    return network


def _trainer(experiment: Experiment, callbacks: list[pl.Callback]) -> pl.Trainer:
    settings = experiment.config.trainer
    trainer = pl.Trainer(
        accelerator="gpu" if settings.accelerator == "cuda" else settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=_strategy(experiment),
        precision=settings.precision,  # type: ignore[arg-type]
        max_epochs=experiment.config.run.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
    )
    # Lightning's own handler of SIGTERM ends the process between two parts of a step, with status
    # 0 and no checkpoint, and talks to the other processes from within the handler.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def _strategy(experiment: Experiment) -> str | Strategy:
    settings = experiment.config.trainer
    if num_processes(experiment) == 1:
        return "auto"
    backend = "nccl" if settings.accelerator == "cuda" else "gloo"
    # Buffers are momentum networks' and queues', equal on all processes, and statistics, which
    # are synchronised or, for MoCo, meant to differ: nothing is to be broadcast.
    return DDPStrategy(process_group_backend=backend, broadcast_buffers=False)


def _count_from(trainer: pl.Trainer, module: PretrainModule) -> None:
    """Let Lightning's counters, which callbacks and loggers read, go on from the checkpoint."""
    progress = trainer.fit_loop.epoch_progress
    for counter in (progress.current, progress.total):
        for stage in ("ready", "started", "processed", "completed"):
            setattr(counter, stage, module.epoch)
    steps = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step
    steps.total.ready = steps.total.completed = module.step

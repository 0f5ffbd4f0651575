"""Set up the Lightning trainer and the networks: processes, precision, memory layout."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy, Strategy

from ssl_host.compose import Experiment
from ssl_host.config.trainer_schema import TrainerSettings
from ssl_host.contracts.method import Method
from ssl_host.errors import UserError
from ssl_host.toolkit.batchnorm import synchronise_batchnorm
from ssl_host.toolkit.bf16_conv_workaround import run_padding_only_convs_in_float32
from ssl_host.toolkit.distributed import world_size
from ssl_host.train.probe import OnlineProbe
from ssl_host.train.state import TrainingState


def is_first_process() -> bool:
    """Return True if this process has rank 0, according to Lightning or the launcher."""
    return int(getattr(pl.utilities.rank_zero_only, "rank", 0)) == 0


def check_processes_agree(settings: TrainerSettings) -> None:
    """Check that precision, channels_last and compile are the same in all processes.

    ``auto`` may have been replaced by different values on different machines.

    Raises:
        UserError: if a setting differs; it is raised in all processes.
    """
    processes = world_size()
    if processes == 1:
        return
    own = {key: getattr(settings, key) for key in ("precision", "channels_last", "compile")}
    all_settings: list[Any] = [None] * processes
    torch.distributed.all_gather_object(all_settings, own)
    for key, value in all_settings[0].items():
        for rank, other in enumerate(all_settings):
            if other[key] != value:
                raise UserError(
                    f"[trainer] {key} is {value} in process 0 and {other[key]} in process {rank}: "
                    "the machines differ; replace auto in the configuration with a value that all "
                    "of them support"
                )


def prepare_networks(
    method: Method, probe: OnlineProbe | None, settings: TrainerSettings, processes: int
) -> None:
    """Adapt a method and a probe in place to the processes, precision and memory layout.

    Args:
        method: the SSL method; its networks are also compiled if ``compile`` is on.
        probe: the online probe, or None.
        settings: the settings of ``[trainer]``, without ``auto``.
        processes: the number of processes; with several, batch norm layers are synchronised.
    """
    if processes > 1 and method.sync_batchnorm:
        _synchronise(method, settings.accelerator)
    if processes > 1 and probe is not None:
        _synchronise(probe.network, settings.accelerator)
    if settings.accelerator == "cpu" and settings.precision == "bf16-mixed":
        run_padding_only_convs_in_float32(method)
    if settings.channels_last is True:
        method.to(memory_format=torch.channels_last)
    if settings.compile == "on":
        compile_networks(method)


def compile_networks(method: Method) -> None:
    """Compile the backbone, the heads and all other submodules of a method in place.

    ``method.compile()`` would have no effect: it compiles ``__call__``, which is never called.
    """
    for network in method.children():
        network.compile()


def _synchronise(network: torch.nn.Module, accelerator: str) -> None:
    """Make all batch norm layers of a network compute their statistics over all processes."""
    if accelerator == "cuda":
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)
    else:
        synchronise_batchnorm(network)


def make_trainer(experiment: Experiment, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Return a Lightning trainer without logging, checkpoints, progress bar, signal handlers."""
    settings = experiment.config.trainer
    trainer = pl.Trainer(
        accelerator="gpu" if settings.accelerator == "cuda" else settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=_strategy(settings, experiment.method.needs_tokens),
        precision=settings.precision,  # type: ignore[arg-type]
        max_epochs=experiment.config.run.epochs,
        accumulate_grad_batches=settings.accumulate,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
    )
    # Lightning's SIGTERM handler ends the process between two micro-batches, with status 0 and
    # no checkpoint, and communicates with the other processes from inside the handler.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def _strategy(settings: TrainerSettings, uses_tokens: bool) -> str | Strategy:
    """Return the Lightning strategy: DistributedDataParallel if there are several processes."""
    if settings.num_processes == 1:
        return "auto"
    backend = "nccl" if settings.accelerator == "cuda" else "gloo"
    # Buffers need not be broadcast: EMA copies and queues are equal in all processes, and batch
    # statistics are synchronised or, for MoCo, differ on purpose.
    # A step on tokens may not reach every parameter, such as those that pool the tokens.
    return DDPStrategy(
        process_group_backend=backend, broadcast_buffers=False, find_unused_parameters=uses_tokens
    )


def restore_lightning_counters(trainer: pl.Trainer, state: TrainingState) -> None:
    """Set Lightning's counters, which callbacks read, to the epoch and step of the state."""
    progress = trainer.fit_loop.epoch_progress
    for counter in (progress.current, progress.total):
        for stage in ("ready", "started", "processed", "completed"):
            setattr(counter, stage, state.epoch)
    steps = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step
    steps.total.ready = steps.total.completed = state.step

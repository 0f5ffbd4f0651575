"""pytorch-lightning and the network made ready: processes, devices, precision, layout."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy, Strategy

from ssl_host.compose import Experiment
from ssl_host.config.schema import TrainerSettings
from ssl_host.errors import UserError
from ssl_host.toolkit.batchnorm import synchronise_batchnorm
from ssl_host.toolkit.bf16_conv_workaround import run_small_convs_in_float32
from ssl_host.toolkit.distributed import world_size
from ssl_host.train.module import PretrainModule


def is_first_process() -> bool:
    """Whether this is rank 0, as Lightning or a launcher has told by the environment."""
    return int(getattr(pl.utilities.rank_zero_only, "rank", 0)) == 0


def num_processes(experiment: Experiment) -> int:
    """Processes that train together, over all nodes."""
    trainer = experiment.config.trainer
    devices = trainer.devices
    local = len(devices) if isinstance(devices, list) else int(devices)
    return local * trainer.num_nodes


def check_processes_agree(settings: TrainerSettings) -> None:
    """Called by every process: unlike machines may have settled an ``auto`` in different ways.

    Raises:
        UserError: in all of them, when they would not train alike.
    """
    processes = world_size()
    if processes == 1:
        return
    mine = {key: getattr(settings, key) for key in ("precision", "channels_last", "compile")}
    found: list[Any] = [None] * processes
    torch.distributed.all_gather_object(found, mine)
    for key, value in found[0].items():
        for rank, other in enumerate(found):
            if other[key] != value:
                raise UserError(
                    f"[trainer] {key} is {value} in process 0 and {other[key]} in process {rank}: "
                    "the machines are unlike. Write the value that suits all of them into the "
                    "configuration instead of auto"
                )


def prepare_network(module: PretrainModule, accelerator: str, processes: int) -> None:
    """Everything that is done to a network before Lightning has it."""
    if processes > 1 and module.method.sync_batchnorm:
        module.method = _synchronised(module.method, accelerator)
    if processes > 1 and module.probe is not None:
        module.probe.network = _synchronised(module.probe.network, accelerator)
    if accelerator == "cpu" and module.experiment.config.trainer.precision == "bf16-mixed":
        run_small_convs_in_float32(module.method)
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


def make_trainer(experiment: Experiment, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Lightning's loop alone: rows, checkpoints, the bar and signals are the host's."""
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


def restore_lightning_counters(trainer: pl.Trainer, module: PretrainModule) -> None:
    """Let Lightning's counters, which callbacks and loggers read, go on from the checkpoint."""
    progress = trainer.fit_loop.epoch_progress
    for counter in (progress.current, progress.total):
        for stage in ("ready", "started", "processed", "completed"):
            setattr(counter, stage, module.epoch)
    steps = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step
    steps.total.ready = steps.total.completed = module.step

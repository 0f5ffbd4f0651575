"""Lightning callback that logs, evaluates, writes checkpoints, counts epochs and stops a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from ssl_host.config.schema import CheckpointSettings
from ssl_host.errors import Preempted
from ssl_host.toolkit.distributed import world_size
from ssl_host.train.checkpoint import write_checkpoint
from ssl_host.train.metrics import MetricsLogger
from ssl_host.train.module import PretrainModule
from ssl_host.train.periodic_evaluation import PeriodicEvaluation
from ssl_host.train.progress import ProgressBar


class TrainingCallback(pl.Callback):
    """Logs metrics, evaluates, writes checkpoints and stops the run, between optimizer steps.

    Args:
        folder: the folder of the checkpoints.
        settings: the settings of ``[checkpoint]``.
        metrics: the object that computes rows of metrics and writes them to the loggers.
        log_every: the number of optimizer steps between rows of metrics.
        bar: the progress bar; None in all processes except rank 0.
        stop_requested: a function that returns True once a signal has asked the run to stop.
        evaluation: the evaluation after some epochs; None for none.
        show: a function that shows a line of text to the user.
    """

    def __init__(
        self,
        folder: Path,
        settings: CheckpointSettings,
        metrics: MetricsLogger,
        log_every: int,
        bar: ProgressBar | None,
        stop_requested: Callable[[], bool],
        evaluation: PeriodicEvaluation | None = None,
        show: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.metrics = metrics
        self.log_every = log_every
        self.bar = bar
        self.stop_requested = stop_requested
        self.evaluation = evaluation
        self.show = show
        self.last_checkpoint = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the optimizer and the gradient scaler if the run is resumed.

        Then start the timers and the progress bar.
        """
        module = _pretrain_module(pl_module)
        state = module.state
        if state.probe is not None:
            state.probe.to(module.device)
        state.bind(trainer.optimizers[0], trainer.precision_plugin)
        self.last_checkpoint = time.monotonic()
        self.metrics.start(module.step)
        if self.bar is not None:
            self.bar.start(state)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log metrics and write a checkpoint if they are due, after a complete optimizer step.

        Raises:
            Preempted: if a signal has asked the run to stop; the state is saved.
        """
        module = _pretrain_module(pl_module)
        state = module.state
        if (batch_idx + 1) % module.step.plan.micro_batches:
            return  # a checkpoint does not contain accumulated gradients
        if state.step % self.log_every == 0:
            self.metrics.log(module)
        if self.bar is not None:
            self.bar.show_step(state, self.metrics.row)
        if state.step_in_epoch == state.steps_per_epoch:
            return  # on_train_epoch_end writes the checkpoint
        due = time.monotonic() - self.last_checkpoint > self.settings.every_minutes * 60
        stop, due = _any_over_processes(self.stop_requested(), due)
        if stop or due:
            self._write_checkpoint(trainer, module)
        if stop:
            raise _preempted_error(state.step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Advance the epoch counter, evaluate, and write a checkpoint, if these are due.

        Raises:
            Preempted: if a signal has asked the run to stop; the state is saved.
        """
        module = _pretrain_module(pl_module)
        state = module.state
        state.finish_epoch()
        if state.step % self.log_every:
            self.metrics.log(module)
        if self.bar is not None:
            self.bar.show_epoch(state, self.metrics.row)
        if self.evaluation is not None and self.evaluation.is_due(state):
            epoch = f"epoch {state.epoch}/{state.epochs}  "
            self.evaluation.run(module, self.metrics, lambda text: self.show(epoch + text))
            trainer.should_stop = trainer.should_stop or state.is_stopped
        (stop,) = _any_over_processes(self.stop_requested())
        if stop or state.epoch % self.settings.every_epochs == 0 or state.is_finished:
            self._write_checkpoint(trainer, module)
        if stop:
            raise _preempted_error(state.step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_bar()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop_bar()

    def _stop_bar(self) -> None:
        """Stop the progress bar if this process shows one."""
        if self.bar is not None:
            self.bar.stop()

    def _write_checkpoint(self, trainer: pl.Trainer, module: PretrainModule) -> None:
        """Check that the weights are finite; in the first process, write a checkpoint.

        Raises:
            NonFiniteError: if a weight is not finite.
        """
        module.checks.check_weights()
        if trainer.is_global_zero:
            self.metrics.flush()
            state = module.state
            write_checkpoint(self.folder, state.step, state.state_dict(), self.settings.keep)
        self.last_checkpoint = time.monotonic()


def _any_over_processes(*flags: bool) -> tuple[bool, ...]:
    """Return the flags combined over all processes: each is True if any process has set it."""
    if world_size() == 1:
        return flags
    shared = torch.tensor(flags, dtype=torch.float32)
    if torch.distributed.get_backend() == "nccl":
        shared = shared.cuda()
    torch.distributed.all_reduce(shared)
    return tuple((shared > 0).tolist())


def _preempted_error(step: int) -> Preempted:
    """Return the exception to raise when a signal has asked the run to stop."""
    return Preempted(
        f"stopped by a signal: the state after step {step} is saved; "
        "run the same command again to resume"
    )


def _pretrain_module(module: pl.LightningModule) -> PretrainModule:
    """Return the module as a PretrainModule, for type checkers."""
    assert isinstance(module, PretrainModule)
    return module

"""The callback that counts epochs, writes rows and checkpoints, and stops when asked to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn import functional

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.config.schema import CheckpointSettings
from ssl_host.contracts.logging import Logger
from ssl_host.errors import Preempted
from ssl_host.toolkit.distributed import world_size
from ssl_host.train.checkpoint import write_checkpoint
from ssl_host.train.module import PretrainModule
from ssl_host.train.progress import ProgressBar
from ssl_host.train.timer import TrainingTimer

COLLAPSED = 0.05
"""Standard deviation, relative to that of a uniform sphere, under which features have collapsed."""


class TrainingCallback(pl.Callback):
    """Everything that happens between steps.

    Args:
        folder: where checkpoints go.
        bar: shown while training; the first process has one.
        tell: prints a line for the user.
        stop_requested: whether a signal has asked for the end.
    """

    def __init__(
        self,
        folder: Path,
        settings: CheckpointSettings,
        loggers: Mapping[str, Logger],
        log_every: int,
        bar: ProgressBar | None,
        tell: Callable[[str], None],
        stop_requested: Callable[[], bool],
        resumed: dict[str, Any] | None,
        clock: TrainingTimer,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.loggers = loggers
        self.log_every = log_every
        self.bar = bar
        self.tell = tell
        self.stop_requested = stop_requested
        self.resumed = resumed
        self.clock = clock
        self.warned = False
        self.row: dict[str, float] = {}
        self.last_write = self.last_row = time.monotonic()
        self.steps_at_row = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = _ours(pl_module)
        if module.probe is not None:
            module.probe.to(module.device)
        if self.resumed is not None:
            trainer.optimizers[0].load_state_dict(self.resumed["optimizer"])
            trainer.precision_plugin.load_state_dict(self.resumed["precision"])
            if module.probe is not None and self.resumed["probe"] is not None:
                module.probe.load_state_dict(self.resumed["probe"])
        self.last_write = self.last_row = time.monotonic()
        self.steps_at_row = module.step
        if self.bar is not None:
            self.bar.start(module)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        module = _ours(pl_module)
        if (batch_idx + 1) % module.plan.micro_batches:
            return  # gradients of a half-computed step are in no checkpoint
        if module.step % self.log_every == 0:
            self._log(module)
        if self.bar is not None:
            self.bar.step(module, self.row)
        last_of_epoch = module.step_in_epoch == module.plan.steps
        if last_of_epoch:
            return  # on_train_epoch_end writes that one
        due = time.monotonic() - self.last_write > self.settings.every_minutes * 60
        stop, due = self._anyone(self.stop_requested(), due)
        if stop or due:
            self._write(trainer, module)
        if stop:
            self._preempt(module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = _ours(pl_module)
        module.epoch += 1
        module.step_in_epoch = 0
        if module.step % self.log_every:
            self._log(module)
        if self.bar is not None:
            self.bar.epoch(module, self.row)
        epochs = module.experiment.config.run.epochs
        (stop,) = self._anyone(self.stop_requested())
        if stop or module.epoch % self.settings.every_epochs == 0 or module.epoch == epochs:
            self._write(trainer, module)
        if stop:
            self._preempt(module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_bar()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop_bar()

    def _stop_bar(self) -> None:
        if self.bar is not None:
            self.bar.stop()

    def _anyone(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag, if any process has it: all must write and end at the same step."""
        if world_size() == 1:
            return flags
        shared = torch.tensor(flags, dtype=torch.float32)
        if torch.distributed.get_backend() == "nccl":
            shared = shared.cuda()
        torch.distributed.all_reduce(shared)
        return tuple((shared > 0).tolist())

    def _preempt(self, module: PretrainModule) -> None:
        raise Preempted(
            f"asked to stop: the state after step {module.step} is written; "
            "give the same command again to go on"
        )

    def _log(self, module: PretrainModule) -> None:
        now = time.monotonic()
        assert module.last_loss is not None
        loss = module.last_loss.clone()
        if world_size() > 1:
            torch.distributed.all_reduce(loss)
            loss /= world_size()
        row = {"epoch": float(module.epoch), "loss": float(loss), "learning_rate": module.rate}
        if not math.isfinite(row["loss"]):
            module.raise_non_finite("loss", row["loss"])
        if module.probe is not None:
            row["online_top1"] = module.probe.accuracy()
        if module.last_features is not None:
            row["feature_std"] = _spread(module.last_features)
            self._warn_of_collapse(module, row["feature_std"])
        if getattr(module.method, "ema_decay", None) is not None:
            row["ema_decay"] = float(module.method.ema_decay)
        row |= {name: float(value) for name, value in module.last_logs.items()}
        for logger in self.loggers.values():
            with attribute_errors(logger, f"while logging step {module.step}"):
                logger.log(module.step, row)
        images = (module.step - self.steps_at_row) * module.plan.batch_size
        speed = images / max(now - self.last_row, 1e-9)
        self.last_row, self.steps_at_row = now, module.step
        self.row = {**row, "images_per_s": speed}

    def _warn_of_collapse(self, module: PretrainModule, spread: float) -> None:
        if spread < COLLAPSED and not self.warned and module.step > 1:
            self.warned = True
            self.tell(
                f"warning: at step {module.step} the features of all images are nearly the same "
                f"(spread {spread:.3f} of 1): the method is collapsing. A stop-gradient, a "
                "predictor, batch norm in the projector, or a lower learning rate usually is "
                "what is missing"
            )

    def _write(self, trainer: pl.Trainer, module: PretrainModule) -> None:
        module.check_weights()
        if trainer.is_global_zero:
            for logger in self.loggers.values():
                with attribute_errors(logger, "while bringing its record to the disk"):
                    logger.flush()
            state = {
                "step": module.step,
                "epoch": module.epoch,
                "step_in_epoch": module.step_in_epoch,
                "method": module.method.state_dict(),
                "optimizer": trainer.optimizers[0].state_dict(),
                "precision": trainer.precision_plugin.state_dict(),
                "probe": None if module.probe is None else module.probe.state_dict(),
                "clock": self.clock.state(),
            }
            write_checkpoint(self.folder, module.step, state, self.settings.keep)
        self.last_write = time.monotonic()


def _spread(features: torch.Tensor) -> float:
    """Mean standard deviation of unit-length features, times √D: 1 on a uniform sphere."""
    unit = functional.normalize(features.float(), dim=1)
    return float(unit.std(dim=0).mean() * math.sqrt(unit.shape[1]))


def _ours(module: pl.LightningModule) -> PretrainModule:
    assert isinstance(module, PretrainModule)
    return module

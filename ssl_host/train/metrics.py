"""Log training metrics: loss, learning rate, online accuracy, feature spread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.logging import Logger
from ssl_host.toolkit.distributed import world_size
from ssl_host.toolkit.spread import feature_spread
from ssl_host.train.hints import TrainingHints
from ssl_host.train.module import PretrainModule
from ssl_host.train.state import TrainingState
from ssl_host.train.training_step import TrainingStep


class MetricsLogger:
    """Computes rows of training metrics and writes them to the loggers.

    Args:
        loggers: the loggers, keyed by instance name; empty in all processes except rank 0.
        warn: a function that shows a warning to the user.

    Attributes:
        row: the last row of metrics, plus ``images_per_s`` for the progress bar.
    """

    def __init__(self, loggers: Mapping[str, Logger], warn: Callable[[str], None]) -> None:
        self.loggers = loggers
        self.hints = TrainingHints(warn)
        self.row: dict[str, float] = {}
        self.last_time = time.monotonic()
        self.last_step = 0

    def start(self, step: TrainingStep) -> None:
        """Start measuring images per second, and looking for signs that the run goes wrong."""
        self.last_time, self.last_step = time.monotonic(), step.state.step
        self.hints.start(step)

    def log(self, module: PretrainModule) -> None:
        """Log a row of metrics for the step that has just finished; all processes must call it.

        Raises:
            NonFiniteError: if the loss is not finite.
        """
        row = self._compute_row(module)
        self._write_row(module.state.step, row)
        now, step = time.monotonic(), module.state.step
        images = (step - self.last_step) * module.step.plan.batch_size
        speed = images / max(now - self.last_time, 1e-9)
        self.last_time, self.last_step = now, step
        self.row = {**row, "images_per_s": speed}

    def log_evaluation(self, state: TrainingState, values: Mapping[str, float]) -> None:
        """Log metrics of the network that were measured after a step, as a row of their own."""
        self._write_row(state.step, {"epoch": float(state.epoch_of_last_step), **values})

    def _write_row(self, step: int, row: Mapping[str, float]) -> None:
        """Give a row of metrics to all loggers."""
        for logger in self.loggers.values():
            with attribute_errors(logger, f"while logging step {step}"):
                logger.log(step, row)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time within the context in images per second."""
        start = time.monotonic()
        yield
        self.last_time += time.monotonic() - start

    def flush(self) -> None:
        """Make all loggers write buffered rows to disk, before a checkpoint is written."""
        for logger in self.loggers.values():
            with attribute_errors(logger, "in flush"):
                logger.flush()

    def _compute_row(self, module: PretrainModule) -> dict[str, float]:
        """Return the last step's metrics, keyed by name; the loss is averaged over processes."""
        step, state = module.step, module.state
        loss = step.loss.clone()
        if world_size() > 1:
            torch.distributed.all_reduce(loss)
            loss /= world_size()
        row = {
            "epoch": float(state.epoch_of_last_step),
            "loss": float(loss),
            "learning_rate": step.learning_rate,
        }
        if not math.isfinite(row["loss"]):
            module.checks.fail("loss", row["loss"])
        if step.chance_level is not None:
            row["chance_loss"] = step.chance_level
        if state.probe is not None:
            row["online_top1"] = state.probe.accuracy()
        if step.features is not None:
            row["feature_std"] = feature_spread(step.features)
        if getattr(module.method, "ema_decay", None) is not None:
            row["ema_decay"] = float(module.method.ema_decay)
        self.hints.check_row(step, module.method, row)
        return row | {name: float(value) for name, value in step.logs.items()}

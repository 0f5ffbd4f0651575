"""The rows of metrics: loss, learning rate, online accuracy and the spread of the features."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.logging import Logger
from ssl_host.toolkit.distributed import world_size
from ssl_host.train.module import PretrainModule

COLLAPSED_BELOW = 0.05
"""Feature spread, relative to a uniform distribution on the sphere, below which to warn."""


class MetricsLogger:
    """Computes a row of metrics and writes it to the loggers.

    Args:
        loggers: by instance name; empty in processes other than the first.
        warn: prints a warning for the user.

    Attributes:
        row: the last row, with ``images_per_s`` for the progress bar.
    """

    def __init__(self, loggers: Mapping[str, Logger], warn: Callable[[str], None]) -> None:
        self.loggers = loggers
        self.warn = warn
        self.warned = False
        self.row: dict[str, float] = {}
        self.last_time = time.monotonic()
        self.last_step = 0

    def start(self, step: int) -> None:
        """Start measuring the speed at the first step of this process."""
        self.last_time, self.last_step = time.monotonic(), step

    def log(self, module: PretrainModule) -> None:
        """Log the step just finished. Every process has to call it.

        Raises:
            NonFiniteError: if the loss is not finite.
        """
        row = self._compute_row(module)
        for logger in self.loggers.values():
            with attribute_errors(logger, f"while logging step {module.state.step}"):
                logger.log(module.state.step, row)
        now, step = time.monotonic(), module.state.step
        images = (step - self.last_step) * module.step.plan.batch_size
        speed = images / max(now - self.last_time, 1e-9)
        self.last_time, self.last_step = now, step
        self.row = {**row, "images_per_s": speed}

    def flush(self) -> None:
        """Write everything that loggers buffer to the disk, before a checkpoint."""
        for logger in self.loggers.values():
            with attribute_errors(logger, "in flush"):
                logger.flush()

    def _compute_row(self, module: PretrainModule) -> dict[str, float]:
        step, state = module.step, module.state
        loss = step.loss.clone()
        if world_size() > 1:
            torch.distributed.all_reduce(loss)
            loss /= world_size()
        row = {
            "epoch": float(state.epoch),
            "loss": float(loss),
            "learning_rate": step.learning_rate,
        }
        if not math.isfinite(row["loss"]):
            module.checks.fail("loss", row["loss"])
        if state.probe is not None:
            row["online_top1"] = state.probe.accuracy()
        if step.features is not None:
            row["feature_std"] = feature_spread(step.features)
            self._warn_of_collapse(state.step, row["feature_std"])
        if getattr(module.method, "ema_decay", None) is not None:
            row["ema_decay"] = float(module.method.ema_decay)
        return row | {name: float(value) for name, value in step.logs.items()}

    def _warn_of_collapse(self, step: int, spread: float) -> None:
        if spread < COLLAPSED_BELOW and not self.warned and step > 1:
            self.warned = True
            self.warn(
                f"warning: at step {step} the features of all images are nearly the same "
                f"(spread {spread:.3f} of 1): the method is collapsing. Usually a stop-gradient, "
                "a predictor, batch norm in the projector, or a lower learning rate helps"
            )


def feature_spread(features: Tensor) -> float:
    """Return the mean standard deviation of unit-length features, times √D: 1 on a sphere."""
    unit = functional.normalize(features.float(), dim=1)
    return float(unit.std(dim=0).mean() * math.sqrt(unit.shape[1]))

"""Log training metrics: loss, learning rate, online accuracy, feature spread."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from statistics import fmean

import torch

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.logging import Logger
from ssl_host.contracts.method import Method
from ssl_host.toolkit.distributed import world_size
from ssl_host.toolkit.spread import feature_spread
from ssl_host.train.module import PretrainModule
from ssl_host.train.training_step import TrainingStep

COLLAPSED_BELOW = 0.05
"""Feature spread (see :func:`feature_spread`) below which a warning is printed."""
CHANCE_CHECKED_AT = 0.1
"""Fraction of a run's steps after which its loss should be below the chance level."""
CHANCE_MARGIN = 0.02
"""How far below the chance level, relative to levels above 1, a loss counts as below it."""
CHANCE_ROWS = 5
"""Number of rows over which the loss is averaged to compare it with the chance level."""


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
        self.warn = warn
        self.warned = False
        self.losses: deque[float] = deque(maxlen=CHANCE_ROWS)
        self.compared = False
        self.row: dict[str, float] = {}
        self.last_time = time.monotonic()
        self.last_step = 0

    def start(self, step: int) -> None:
        """Start measuring images per second; ``step`` is the number of steps already done."""
        self.last_time, self.last_step = time.monotonic(), step
        self.compared = step > 0  # a resumed run has been compared before, or has too few rows

    def log(self, module: PretrainModule) -> None:
        """Log a row of metrics for the step that has just finished; all processes must call it.

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
            "epoch": float(state.epoch),
            "loss": float(loss),
            "learning_rate": step.learning_rate,
        }
        if not math.isfinite(row["loss"]):
            module.checks.fail("loss", row["loss"])
        if step.chance_level is not None:
            row["chance_loss"] = step.chance_level
            self._compare_with_chance(step, row["loss"], step.chance_level)
        if state.probe is not None:
            row["online_top1"] = state.probe.accuracy()
        if step.features is not None:
            row["feature_std"] = feature_spread(step.features)
            self._warn_of_collapse(module.method, state.step, row["feature_std"])
        if getattr(module.method, "ema_decay", None) is not None:
            row["ema_decay"] = float(module.method.ema_decay)
        return row | {name: float(value) for name, value in step.logs.items()}

    def _compare_with_chance(self, step: TrainingStep, loss: float, chance: float) -> None:
        """Print a hint, once, if the loss is at the chance level after a tenth of the run."""
        done, total = step.state.step, step.state.total_steps
        self.losses.append(loss)
        if self.compared or done < CHANCE_CHECKED_AT * total:
            return
        self.compared, mean = True, fmean(self.losses)
        if mean > chance - CHANCE_MARGIN * max(1.0, chance):
            self.warn(
                f"hint: after {done} of {total} steps the loss is {mean:.3f}, which is chance "
                f"({chance:.3f}): the network does not tell images apart yet. "
                f"{_learning_rate_advice(step)} usually helps."
            )

    def _warn_of_collapse(self, method: Method, step: int, spread: float) -> None:
        """Print a warning, once per process, if the features of all images are nearly the same."""
        if spread < COLLAPSED_BELOW and not self.warned and step > 1:
            self.warned = True
            self.warn(
                f"warning: at step {step} the features of all images are nearly the same "
                f"(spread {spread:.3f} of 1): the method is collapsing. {_remedies(method)} "
                "usually helps."
            )


def _learning_rate_advice(step: TrainingStep) -> str:
    """Return advice for a loss that does not fall, with the settings that it is about."""
    experiment, total = step.experiment, step.state.total_steps
    rate = experiment.optimizer.learning_rate(experiment.config.run.batch_size)
    advice = [f"Another learning rate than {rate:.3g} ([optimizer] lr)"]
    factors = [experiment.scheduler.factor(s, total, step.plan.steps) for s in range(total)]
    warmup = factors.index(max(factors))
    if warmup > CHANCE_CHECKED_AT * total:
        advice.append(f"a warm-up of fewer than {warmup} steps ([scheduler] warmup_epochs)")
    optimizer = experiment.config.components["optimizer"].name
    if optimizer != "adamw":
        advice.append(f"[optimizer] name = adamw with lr = 0.001 instead of {optimizer}")
    return _join_with_or(advice)


def _remedies(method: Method) -> str:
    """Return advice against collapse that mentions only parts that the method has."""
    remedies = ["A lower learning rate", "a longer warm-up"]
    if any(feeder in method.heads for feeder in method.heads.values()):
        remedies.append("a larger predictor")
    if method.heads:
        remedies.append(f"batch norm in the {next(iter(method.heads))}")
    if method.ema:
        remedies.append("an ema_decay nearer to 1")
    return _join_with_or(remedies)


def _join_with_or(texts: list[str]) -> str:
    """Return texts as ``a, b or c``."""
    return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))

"""Save and restore the training state: counters, weights, optimizer, probe and timer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch

from ssl_host.contracts.batch import Progress
from ssl_host.contracts.evaluation import Figure
from ssl_host.contracts.method import Method
from ssl_host.contracts.optimization import Schedule
from ssl_host.errors import CheckpointError
from ssl_host.train.probe import OnlineProbe
from ssl_host.train.timer import TrainingTimer


class Stateful(Protocol):
    """Protocol for objects that have ``state_dict`` and ``load_state_dict``."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the object."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of the object."""
        ...


@dataclass(frozen=True)
class BestValue:
    """Best value of a metric that is evaluated during training.

    Attributes:
        value: the value.
        epoch: number of epochs done when it was measured.
        step: number of optimizer steps done when it was measured.
        evaluations_since: number of evaluations after it.
    """

    value: float
    epoch: int
    step: int
    evaluations_since: int = 0


class TrainingState:
    """Everything that a checkpoint contains: counters, method, optimizer, probe and timer.

    Only this class changes the counters.

    Args:
        method: the SSL method that is trained.
        epochs: the value of ``[run] epochs``.
        steps_per_epoch: the number of optimizer steps per epoch.
        probe: the online probe, or None.

    Attributes:
        step: the number of optimizer steps done.
        epoch: the current epoch, from 0.
        step_in_epoch: the number of optimizer steps done in the current epoch.
        timer: the timer that measures the training time.
        first_step: the number of optimizer steps that an earlier run has done, which this run
            continues; 0 for all other runs.
        first_epoch: the number of epochs that the earlier run has done, or 0.
        watched: the best values of the metrics that decide on stopping and on the best backbone.
        is_stopped: True if the training has ended early.
    """

    def __init__(
        self, method: Method, epochs: int, steps_per_epoch: int, probe: OnlineProbe | None = None
    ) -> None:
        self.method = method
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.probe = probe
        self.timer = TrainingTimer()
        self.step = self.epoch = self.step_in_epoch = 0
        self.first_step = self.first_epoch = 0
        self.watched: dict[str, BestValue] = {}
        self.is_stopped = False
        self._late: dict[str, Stateful] = {}
        self._restored: dict[str, Any] = {}

    @property
    def total_steps(self) -> int:
        """Number of optimizer steps of the whole run, at least 1."""
        return max(1, self.epochs * self.steps_per_epoch)

    @property
    def progress(self) -> Progress:
        """Current step, total number of steps and current epoch, as passed to the SSL method."""
        return Progress(self.step, self.total_steps, self.epoch)

    @property
    def epoch_of_last_step(self) -> int:
        """Epoch of the last batch, counted from 1, also if its optimizer step was skipped."""
        return self.epoch + (self.step_in_epoch > 0)

    @property
    def is_finished(self) -> bool:
        """True if all epochs are done, or the training has ended early."""
        return self.is_stopped or self.epoch >= self.epochs

    def finish_step(self) -> None:
        """Advance the counters by one optimizer step."""
        self.step += 1
        self.step_in_epoch += 1

    def skip_step(self) -> None:
        """Count the batch, but not an optimizer step, because the gradient scaler skipped it."""
        self.step_in_epoch += 1

    def finish_epoch(self) -> None:
        """Count an epoch as done, and reset the number of steps in the epoch."""
        self.epoch += 1
        self.step_in_epoch = 0

    def watch(self, metric: str, value: float, figure: Figure) -> bool:
        """Record a value of a metric after an epoch; return True if it is the best so far.

        An equal value is not better, and NaN never is.

        Args:
            metric: the name of the metric.
            value: its value.
            figure: the declaration of the metric, which says what values are better.
        """
        best = self.watched.get(metric)
        score = figure.score(value)
        least = -math.inf if best is None else figure.score(best.value)
        is_best = score is not None and least is not None and score > least
        if is_best:
            self.watched[metric] = BestValue(value, self.epoch, self.step)
        elif best is not None:
            self.watched[metric] = replace(best, evaluations_since=best.evaluations_since + 1)
        return is_best

    def bind(self, optimizer: torch.optim.Optimizer, precision: Stateful) -> None:
        """Attach the optimizer and the precision plugin, and restore them from the checkpoint.

        They exist only once the trainer is set up.

        Args:
            optimizer: the torch optimizer.
            precision: Lightning's precision plugin, which contains the gradient scaler.
        """
        self._late = {"optimizer": optimizer, "precision": precision}
        if self.step == self.first_step > 0:
            # The settings of the groups, such as fractions of the run, are those of this run.
            for group, restored in zip(
                optimizer.param_groups, self._restored["optimizer"]["param_groups"], strict=True
            ):
                restored |= {key: value for key, value in group.items() if key != "params"}
        for name, target in self._late.items():
            # A precision that scales no gradients has no state.
            if restored := self._restored.pop(name, None):
                target.load_state_dict(restored)

    def state_dict(self) -> dict[str, Any]:
        """Return the state to save in a checkpoint."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "first_step": self.first_step,
            "first_epoch": self.first_epoch,
            "method": self.method.state_dict(),
            **{name: target.state_dict() for name, target in self._late.items()},
            "probe": None if self.probe is None else self.probe.state_dict(),
            "timer": self.timer.state_dict(),
            "watched": {metric: asdict(best) for metric, best in self.watched.items()},
            "is_stopped": self.is_stopped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint, except for the optimizer and precision plugin; see :meth:`bind`.

        Raises:
            CheckpointError: if the checkpoint belongs to a different network.
        """
        try:
            self.method.load_state_dict(state["method"])
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip(" .")
            raise CheckpointError(
                f"the checkpoint belongs to a different network: {reason}. A plugin or library may "
                "have changed since the checkpoint was written; install the versions that "
                "environment.json lists, or use --fresh to start again."
            ) from None
        self.step = int(state["step"])
        self.epoch = int(state["epoch"])
        self.step_in_epoch = int(state["step_in_epoch"])
        self.first_step = int(state.get("first_step", 0))
        self.first_epoch = int(state.get("first_epoch", 0))
        watched: Mapping[str, Any] = state.get("watched", {})
        self.watched = {metric: BestValue(**best) for metric, best in watched.items()}
        self.is_stopped = bool(state.get("is_stopped", False))
        self.method.progress = self.progress
        self.timer.load_state_dict(state["timer"])
        if self.probe is not None and state["probe"] is not None:
            self.probe.load_state_dict(state["probe"])
        self._restored = {name: state[name] for name in ("optimizer", "precision")}

    def continue_from(self, state: dict[str, Any]) -> None:
        """Start from the last checkpoint of a finished run, with the schedules of this longer run.

        Raises:
            CheckpointError: if the checkpoint belongs to a different network.
        """
        self.load_state_dict(state)
        self.timer = TrainingTimer()
        self.watched, self.is_stopped = {}, False
        self.first_step, self.first_epoch = self.step, self.epoch
        for module in self.method.modules():
            if isinstance(module, Schedule):
                module.set_step(self.step, self.total_steps)

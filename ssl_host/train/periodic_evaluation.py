"""Evaluate during training: log the metrics, keep the best backbone, and stop early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from ssl_host.contracts.evaluation import Figure, find_figure
from ssl_host.errors import RunError
from ssl_host.toolkit.distributed import broadcast_object, rank
from ssl_host.toolkit.random_state import preserved_random_state
from ssl_host.train.metrics import MetricsLogger
from ssl_host.train.module import PretrainModule
from ssl_host.train.state import TrainingState


@dataclass(frozen=True)
class PeriodicEvaluation:
    """Evaluation of the network after some epochs, and the decisions that follow from it.

    It does not change the training: random numbers, weights and training time are the same without
    it, except that the training may end early.

    Attributes:
        every_epochs: number of epochs between evaluations; the last epoch is evaluated, too.
        evaluate: function that takes the network and returns the metrics, keyed by name. It is
            called in the process of rank 0 only, and must not change the network.
        figures: declarations of the metrics, keyed by name.
        keep_best: function that saves the network as the best one so far.
        best: metric whose best value makes ``keep_best`` be called; None for none.
        stop_early: metric that ends the training if it does not improve; None for none.
        patience: number of evaluations in a row without a new best value after which it ends.
    """

    every_epochs: int
    evaluate: Callable[[nn.Module], Mapping[str, float]]
    figures: Mapping[str, Figure]
    keep_best: Callable[[nn.Module], None]
    best: str | None
    stop_early: str | None
    patience: int

    def is_due(self, state: TrainingState) -> bool:
        """Return True if the epoch that has just ended is to be evaluated."""
        return state.epoch % self.every_epochs == 0 or state.is_finished

    def run(
        self, module: PretrainModule, metrics: MetricsLogger, show: Callable[[str], None]
    ) -> None:
        """Evaluate the network; all processes must call this after the same epoch.

        Args:
            module: the module with the method and the training state, whose records of the best
                values change.
            metrics: logger that gets the metrics.
            show: function that is called with the metrics as text.
        """
        state = module.state
        encoder = getattr(module.method, module.method.encoder)
        with state.timer.paused(), metrics.paused(), preserved_random_state():
            values = broadcast_object(dict(self.evaluate(encoder)) if rank() == 0 else {})
        metrics.log_evaluation(state, values)
        show(self._describe(values))
        for metric in dict.fromkeys((self.best, self.stop_early)):
            if metric is None:
                continue
            if metric not in values:
                raise RunError(
                    f"the evaluators did not measure {metric}, which [checkpoint] best or [run] "
                    f"stop_early names; they measured {', '.join(values) or 'nothing'}"
                )
            is_best = state.watch(metric, values[metric], self._figure(metric))
            if is_best and metric == self.best and rank() == 0:
                self.keep_best(encoder)
        stopping = None if self.stop_early is None else state.watched.get(self.stop_early)
        if stopping is not None and state.epoch < state.epochs:
            state.is_stopped = stopping.evaluations_since >= self.patience
            if state.is_stopped:
                best = self._format(str(self.stop_early), stopping.value)
                show(f"stopped: {self.stop_early} is best in epoch {stopping.epoch}, {best}")

    def _figure(self, metric: str) -> Figure:
        """Return the declaration of a metric."""
        return find_figure(self.figures, metric) or Figure("")

    def _describe(self, values: Mapping[str, float]) -> str:
        """Return the metrics as text, such as ``knn.top1 81.20 %  rankme 12.3``."""
        return "  ".join(f"{name} {self._format(name, value)}" for name, value in values.items())

    def _format(self, metric: str, value: float) -> str:
        """Return a value of a metric with its unit."""
        figure = self._figure(metric)
        return f"{figure.format(value)} {figure.unit}".rstrip()

"""Evaluate a run during its training, as ``[evaluate]`` and the settings that use it say."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ssl_host.compose import Experiment
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.evaluation import Figure
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.data.monitoring_split import split_training_images
from ssl_host.errors import UserError
from ssl_host.evaluate.banks import FeatureBankBuilder
from ssl_host.evaluate.figures import declared_figures
from ssl_host.evaluate.measure import measure, skip_reason
from ssl_host.toolkit.batchnorm import localise_batchnorm
from ssl_host.train.periodic_evaluation import PeriodicEvaluation
from ssl_host.train.state import TrainingState
from ssl_host.weights import save_backbone

BEST = "best"
"""Name of the folder in a run's folder with the best backbone."""


def make_periodic_evaluation(
    experiment: Experiment, images: OpenedDatasets, folder: Path
) -> PeriodicEvaluation | None:
    """Return the evaluation during training; None if ``[evaluate] every_epochs`` is not set.

    Args:
        experiment: the components of the run.
        images: the training images; the test images are not used.
        folder: the run folder.

    Raises:
        UserError: if a metric that decides on something cannot be measured on these images.
        DataError: if there are too few training images to hold some out.
    """
    config = experiment.config
    settings = config.evaluate
    if settings.every_epochs is None:
        return None
    train, held_out = split_training_images(images.probe, settings.holdout, settings.max_images)
    num_classes, seed = len(images.classes), config.run.seed
    builder = FeatureBankBuilder(
        experiment.views, train, held_out, num_classes, seed, test_is_from_train=True
    )
    evaluators = {}
    for name in settings.evaluators:
        reason = skip_reason(experiment.evaluators[name], train.labels, num_classes, True)
        if not reason:
            evaluators[name] = experiment.evaluators[name]
        for (section, key), metric in config.watched_metrics().items():
            if reason and f"{metric}.".startswith(f"{name}."):
                raise UserError(
                    f"[{section}] {key} = {metric} cannot be measured: {reason}; name a metric of "
                    "an evaluator that can be used, such as rankme, which needs no labels"
                )

    def evaluate(encoder: nn.Module) -> Mapping[str, float]:
        # The run may use any precision. Other processes wait, so nothing may be summed over them.
        network = localise_batchnorm(copy.deepcopy(encoder).float())
        return measure(evaluators, network, dict, builder, scratch=folder).metrics

    def keep_best(encoder: nn.Module) -> None:
        (folder / BEST).mkdir(exist_ok=True)
        source, form = experiment.source, images.splits.train
        mean, std = source.mean, source.std
        save_backbone(encoder, config, mean, std, folder / BEST, form.fit, form.value_range)

    figures: dict[str, Figure] = declared_figures({n: type(e) for n, e in evaluators.items()})
    return PeriodicEvaluation(
        every_epochs=settings.every_epochs,
        evaluate=evaluate,
        figures=figures,
        keep_best=keep_best,
        best=config.checkpoint.best,
        stop_early=config.run.stop_early,
        patience=config.run.patience,
    )


def describe_best(state: TrainingState, config: RunConfig) -> dict[str, Any] | None:
    """Return the part of ``results.json`` on the best backbone: metric, value, epoch and step.

    It is None if no backbone was kept.
    """
    metric = config.checkpoint.best
    best = None if metric is None else state.watched.get(metric)
    if best is None:
        return None
    return {"metric": metric, "value": best.value, "epoch": best.epoch, "step": best.step}


def monitoring_notes(state: TrainingState, config: RunConfig) -> list[str]:
    """Return notes on the best backbone, and on a training that ended early."""
    notes = []
    best, metric = describe_best(state, config), config.run.stop_early
    if best is not None:
        notes.append(
            f"the folder {BEST} has the backbone of epoch {best['epoch']}, with "
            f"{best['metric']} = {best['value']:.4g} on held-out training images; all metrics "
            f"of this run are those of epoch {state.epoch}"
        )
    if state.is_stopped and metric is not None:
        notes.append(
            f"training ended after epoch {state.epoch} of {state.epochs}, because {metric} has "
            f"not improved since epoch {state.watched[metric].epoch}"
        )
    return notes

"""Evaluates a trained network and its baselines with all evaluators."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch

from ssl_host.compose import Experiment, compose_method
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.evaluate.measure import Measurement, measure


def evaluate_network(
    experiment: Experiment,
    images: OpenedDatasets,
    encoder: torch.nn.Module,
    report_progress: Callable[[str], None],
    scratch: Path,
) -> Measurement:
    """Run all evaluators on the trained network and its baselines.

    One of the baselines is the same network with its initial, untrained weights.

    Args:
        experiment: the components of the run, with the evaluators.
        images: the training and test images.
        encoder: the trained network; it is copied, not changed.
        report_progress: a function that is called before each measurement, with its name.
        scratch: the folder for features that do not fit in memory.
    """
    untrained_method = compose_method(experiment.config, experiment.plan)
    untrained = getattr(untrained_method, untrained_method.encoder)
    encoder = copy.deepcopy(encoder).float()  # the run may have used any precision
    if experiment.config.trainer.channels_last is True:
        # The memory layout determines the order of float sums, so all networks use the same one.
        encoder.to(memory_format=torch.channels_last)
        untrained.to(memory_format=torch.channels_last)
    return measure(
        experiment.evaluators,
        encoder,
        untrained,
        experiment.views,
        images.probe,
        images.test,
        len(images.classes),
        experiment.config.run.seed,
        report_progress,
        scratch,
    )

"""Evaluates a network with all evaluators, next to its untrained baseline."""

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
    """Run all evaluators on a network and on the same network before training.

    Args:
        encoder: the trained network; it is copied and not changed.
        report_progress: called with the name of each evaluator before it starts.
        scratch: folder for files of evaluators.
    """
    source = experiment.source
    untrained_method = compose_method(experiment.config, source.channels, source.image_size)
    untrained = getattr(untrained_method, untrained_method.encoder)
    encoder = copy.deepcopy(encoder).float()  # from any precision
    if experiment.config.trainer.channels_last is True:
        # The layout decides the order of float sums, so all networks get the same one.
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

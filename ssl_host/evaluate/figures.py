"""Declarations of the figures in ``results.json``: the host's and those of evaluators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ssl_host.contracts.evaluation import Evaluator, Figure, find_figure

HOST_FIGURES = {
    "online.top1": Figure(
        "the online probe's accuracy on the held-out images", unit="%", headline=True
    ),
    "throughput.images_per_s": Figure("training images per second"),
    "throughput.data_wait_fraction": Figure(
        "fraction of the training time spent waiting for images", higher_is_better=False
    ),
    "peak_memory_mb": Figure("largest memory of the process, in MiB", higher_is_better=False),
    "peak_gpu_memory_mb": Figure(
        "largest memory allocated on the GPU, in MiB", higher_is_better=False
    ),
}
"""Figures that the host itself measures."""


def metric_name(instance: str, metric: str) -> str:
    """Return the name in ``results.json`` of a metric of an evaluator's instance."""
    return f"{instance}.{metric}" if metric else instance


def declared_figures(evaluators: Mapping[str, type[Evaluator]]) -> dict[str, Figure]:
    """Return all figures that a run can have, by their names in ``results.json``.

    ``N`` as a component of a name stands for any number: look up metrics with ``find_figure``.

    Args:
        evaluators: by the name of their instance.
    """
    return HOST_FIGURES | {
        metric_name(instance, metric): figure
        for instance, evaluator in evaluators.items()
        for metric, figure in evaluator.figures.items()
    }


def describe_figures(
    metrics: Iterable[str], evaluators: Mapping[str, Evaluator]
) -> dict[str, dict[str, Any]]:
    """Return the declarations of metrics as JSON, by name: the key ``figures`` of the results.

    Args:
        metrics: names in ``results.json``. Those of baselines and undeclared ones are skipped.
        evaluators: by the name of their instance.
    """
    described = {}
    for name in metrics:
        instance, _, metric = name.partition(".")
        figure = HOST_FIGURES.get(name)
        if figure is None and instance in evaluators:
            figure = find_figure(evaluators[instance].figures, metric)
        if figure is not None:
            described[name] = asdict(figure)
    return described

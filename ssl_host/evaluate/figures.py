"""Declarations of the metrics in ``results.json``, from the host and from evaluators."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ssl_host.config.run_config import ComponentConfig
from ssl_host.contracts.evaluation import Evaluator, Figure, find_figure, metric_name

HOST_FIGURES = {
    "online.top1": Figure(
        "the online probe's accuracy on the held-out images", unit="%", headline=True
    ),
    "throughput.images_per_s": Figure("training images per second"),
    "throughput.data_wait_fraction": Figure(
        "fraction of the training time that was spent waiting for images", higher_is_better=False
    ),
    "peak_memory_mb": Figure("peak memory of the process, in MiB", higher_is_better=False),
    "peak_gpu_memory_mb": Figure(
        "peak memory allocated on the GPU, in MiB", higher_is_better=False
    ),
}
"""Declarations of the metrics that the host itself measures, keyed by metric name."""


def declared_figures(evaluators: Mapping[str, type[Evaluator]]) -> dict[str, Figure]:
    """Return the declarations of all metrics that a run can measure, keyed by metric name.

    The names are the same as in ``results.json``, except that ``N`` as a component of a name means
    any number. Use ``find_figure`` to look up a metric.

    Args:
        evaluators: the classes of the evaluators, keyed by the names of their sections.
    """
    return HOST_FIGURES | {
        metric_name(instance, metric): figure
        for instance, evaluator in evaluators.items()
        for metric, figure in evaluator.figures.items()
    }


def describe_figures(
    metrics: Iterable[str],
    evaluators: Mapping[str, Evaluator],
    components: Iterable[ComponentConfig],
) -> dict[str, dict[str, Any]]:
    """Return the declarations of measured metrics, for ``figures`` in ``results.json``.

    The declarations of evaluators' metrics include ``data`` and ``needs_labels``, which is True
    for evaluators with labels or annotations of their own too.

    Args:
        metrics: names of the metrics in ``results.json``. Metrics of baselines and undeclared
            metrics are skipped.
        evaluators: the evaluators, keyed by the names of their sections.
        components: the configured evaluators, with the images on which each measures.
    """
    data = {component.instance: component.data for component in components}
    described = {}
    for name in metrics:
        instance, _, metric = name.partition(".")
        if name in HOST_FIGURES:
            described[name] = asdict(HOST_FIGURES[name])
        elif instance in evaluators:
            evaluator = evaluators[instance]
            figure = find_figure(evaluator.figures, metric)
            if figure is not None:
                needs_labels = evaluator.needs_labels or evaluator.uses_annotations
                about = {"needs_labels": needs_labels, "data": data.get(instance)}
                described[name] = asdict(figure) | about
    return described


def describe_baselines(baselines: Iterable[ComponentConfig]) -> dict[str, dict[str, Any]]:
    """Return titles and properties of baselines, for ``baselines`` in ``results.json``.

    The keys are the names of their sections, which are the prefixes of their metrics.

    Args:
        baselines: the configured baselines.
    """
    described = {}
    for component in baselines:
        cls: Any = component.cls
        # Two sections with the same component need different titles.
        label = cls.label if component.instance == component.name else ""
        described[component.instance] = {
            "label": label or component.instance,
            "description": (inspect.getdoc(cls) or "").partition("\n")[0],
            "uses_backbone": cls.uses_backbone,
            "is_trained": cls.is_trained,
            "best_advice": cls.best_advice,
        }
    return described

"""Write the files of a finished run: artifacts, environment, report and results.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import Experiment
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.logging import Run
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.evaluate.figures import describe_baselines, describe_figures
from ssl_host.evaluate.measure import Measurement
from ssl_host.pipeline.continuation import describe_continuation
from ssl_host.pipeline.monitoring import describe_best
from ssl_host.report.images import draw_pictures
from ssl_host.report.page import write_page
from ssl_host.report.ranking import Ranking, rank_run
from ssl_host.run_folder.folder import RunFolder
from ssl_host.toolkit.weights_io import write_tensors
from ssl_host.train.state import TrainingState


def make_results(
    experiment: Experiment,
    images: OpenedDatasets,
    state: TrainingState,
    metrics: Mapping[str, float],
    wall_time_s: float,
    notes: Sequence[str],
    evaluation_notes: Sequence[str],
) -> dict[str, Any]:
    """Return the content of ``results.json``.

    Args:
        experiment: the components of the run.
        images: the training and test images.
        state: the training state after the last step.
        metrics: the metrics, keyed by metric name; accuracies range from 0 to 1. NaN and infinity
            become null.
        wall_time_s: the time spent on training and evaluation in seconds, including the time
            before the run was resumed, but not that of a run that this one continues.
        notes: remarks that readers of the metrics should know; duplicates are removed.
        evaluation_notes: those of the notes that another evaluation replaces.
    """
    config = experiment.config
    return {
        "name": config.run.name,
        "method": config.components["method"].name,
        "backbone": config.components["backbone"].name,
        "data": config.components["data"].name,
        "seed": config.run.seed,
        "epochs": state.epoch,
        "steps": state.step,
        "continues": describe_continuation(state, config),
        "best": describe_best(state, config),
        "stopped_early": config.run.stop_early if state.is_stopped else None,
        **image_results(images),
        "metrics": {name: _finite_or_none(value) for name, value in metrics.items()},
        "figures": describe_figures(metrics, experiment.evaluators, config.of_kind("evaluator")),
        "baselines": describe_baselines(config.of_kind("baseline")),
        "wall_time_s": round(wall_time_s, 2),
        "notes": list(dict.fromkeys(notes)),
        "evaluation_notes": list(dict.fromkeys(evaluation_notes)),
        "uses_labels": experiment.method.uses_labels,
    }


def image_results(images: OpenedDatasets) -> dict[str, Any]:
    """Return the part of ``results.json`` about the images: counts, classes, unreadable images."""
    return {
        "images": {
            "train": len(images.train),
            "probe": len(images.probe),
            "test": None if images.test is None else len(images.test),
        },
        "classes": list(images.classes),
        "skipped": [{"image": name, "reason": reason} for name, reason in images.skipped()],
    }


def write_results(
    folder: RunFolder,
    experiment: Experiment,
    images: OpenedDatasets,
    measurement: Measurement,
    results: Mapping[str, Any],
    catalog: Catalog,
    environment: Mapping[str, Any] | None = None,
) -> None:
    """Write the evaluators' artifacts, the environment, the report and the results of a run.

    Args:
        folder: the run folder.
        experiment: the components of the run.
        images: the training and test images.
        measurement: the results of the evaluators, with the features that the report shows.
        results: the content of ``results.json``.
        catalog: the catalog of installed components.
        environment: the content of ``environment.json``; None leaves the file unchanged.
    """
    config = experiment.config
    for stem, tensors in measurement.artifacts.items():
        write_tensors(folder.path / f"{stem}.safetensors", tensors)
    if environment is not None:
        folder.write_json("environment.json", environment)
    pictures = draw_pictures(experiment.views, images, measurement.bank, config.run.seed)
    folder.write_json("report.json", pictures)
    ranking = rank_run(folder.path, results)
    write_report(folder.path, results, config, ranking, catalog)
    # A run that has a results.json counts as finished, so this file is written last.
    folder.write_json("results.json", results)


def write_report(
    path: Path,
    results: Mapping[str, Any],
    config: RunConfig,
    ranking: Ranking,
    catalog: Catalog,
) -> Path:
    """Write ``report.html``, including the sections that plugins add, and return its path."""
    sections = catalog.collect("report_sections", run=describe_run(config, path), results=results)
    return write_page(path, results, config, ranking, sections)


def describe_run(config: RunConfig, path: Path) -> Run:
    """Return the record of a run for loggers and hooks, with name, folder, seed and settings."""
    return Run(config.run.name, path, config.run.seed, config.values())


def _finite_or_none(value: float) -> float | None:
    """Return a number, or None if it is NaN or infinite."""
    return float(value) if math.isfinite(value) else None

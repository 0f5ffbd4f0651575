"""Writes what a run leaves: artifacts, environment, report and, last of all, results.json."""

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
from ssl_host.evaluate.figures import describe_figures
from ssl_host.evaluate.measure import Measurement
from ssl_host.report.images import draw_pictures
from ssl_host.report.page import write_page
from ssl_host.run_folder.folder import RunFolder
from ssl_host.toolkit.weights_io import write_tensors


def make_results(
    experiment: Experiment,
    images: OpenedDatasets,
    steps: int,
    metrics: Mapping[str, float],
    wall_time_s: float,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return the content of ``results.json``.

    Args:
        steps: optimizer steps of the training.
        metrics: accuracies from 0 to 1 and other numbers; NaN and infinity become null.
        wall_time_s: seconds of training and evaluation in all processes.
        notes: sentences on what to know about the metrics; repeated ones are removed.
    """
    config = experiment.config
    return {
        "name": config.run.name,
        "method": config.components["method"].name,
        "backbone": config.components["backbone"].name,
        "data": config.components["data"].name,
        "seed": config.run.seed,
        "epochs": config.run.epochs,
        "steps": steps,
        "images": {
            "train": len(images.train),
            "probe": len(images.probe),
            "test": None if images.test is None else len(images.test),
        },
        "classes": list(images.classes),
        "metrics": {name: _finite_or_none(value) for name, value in metrics.items()},
        "figures": describe_figures(metrics, experiment.evaluators),
        "wall_time_s": round(wall_time_s, 2),
        "notes": list(dict.fromkeys(notes)),
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
    """Write artifacts, environment, report and results of a run.

    Args:
        measurement: of the evaluators; its features are drawn in the report.
        environment: of the training; None leaves ``environment.json`` as it is.
    """
    config = experiment.config
    for stem, tensors in measurement.artifacts.items():
        write_tensors(folder.path / f"{stem}.safetensors", tensors)
    if environment is not None:
        folder.write_json("environment.json", environment)
    pictures = draw_pictures(experiment.views, images, measurement.bank, config.run.seed)
    folder.write_json("report.json", pictures)
    write_report(folder.path, results, config, catalog)
    # A run with a results.json counts as finished, so this file is the last one.
    folder.write_json("results.json", results)


def write_report(
    path: Path, results: Mapping[str, Any], config: RunConfig, catalog: Catalog
) -> Path:
    """Write ``report.html`` with the sections of all plugins and return its path."""
    sections = catalog.collect("report_sections", run=describe_run(config, path), results=results)
    return write_page(path, results, config, sections)


def describe_run(config: RunConfig, path: Path) -> Run:
    """Return the description of a run that loggers and hooks receive."""
    return Run(config.run.name, path, config.run.seed, config.values())


def _finite_or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

"""Read the training curves of a run from its ``metrics.csv``, and draw them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ssl_host.report.charts import Points, line_chart

CURVES = (
    ("Loss", "loss", False),
    ("Online accuracy on training batches", "online_top1", True),
    ("Learning rate", "learning_rate", False),
    ("Standard deviation of the features (0: collapsed)", "feature_std", False),
    ("EMA decay", "ema_decay", False),
)
"""Title of each chart, its column in ``metrics.csv``, and True to show percentages."""


def draw_charts(
    curves: Mapping[str, Mapping[str, Points]], figures: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, Markup]]:
    """Return a title and a chart for each column of ``CURVES``, with one line for each run.

    Charts of the metrics that were evaluated during training follow. Columns that no run has logged
    are left out.

    Args:
        curves: points (step, value), keyed by the name of the run and then by column.
        figures: ``figures`` in ``results.json``; the columns of evaluated metrics have their names.
    """
    charts = []
    evaluated = [
        (f"{name} on held-out training images", name, figure["unit"] == "%")
        for name, figure in figures.items()
    ]
    for title, column, percent in (*CURVES, *evaluated):
        series = {run: columns.get(column, ()) for run, columns in curves.items()}
        if chart := line_chart(series, "step", percent):
            charts.append((title, chart))
    return charts


def read_curves(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return the points (step, value) in a run's ``metrics.csv``, keyed by column.

    The result is empty if the run has no such file.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    path = folder / "metrics.csv"
    if not path.exists():
        return curves
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name not in ("step", None) and isinstance(text, str) and text:
                    curves.setdefault(name, []).append((float(row["step"]), float(text)))
    return curves


def values_by_epoch(
    curves: Mapping[str, Sequence[tuple[float, float]]],
) -> dict[str, dict[int, float]]:
    """Return the finite values of each curve at the end of epochs, keyed by column and epoch.

    Args:
        curves: points (step, value), keyed by column, as :func:`read_curves` returns them. The
            column ``epoch`` says at which steps an epoch has ended.
    """
    epoch_of_step = {step: int(epoch) for step, epoch in curves.get("epoch", ())}
    return {
        name: {
            epoch_of_step[step]: value
            for step, value in points
            if step in epoch_of_step and math.isfinite(value)
        }
        for name, points in curves.items()
    }

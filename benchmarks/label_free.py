"""Measure how far figures without labels agree with the accuracy of a linear probe.

    python benchmarks/label_free.py

Reads the committed results of the suites of digits and writes benchmarks/results/label_free.md: for
each measure its rank correlation (Spearman) with ``linear.top1``, between methods and between the
runs of a method. A correlation of 1 means that the measure ranks the runs as the probe does, 0 that
it says nothing. For the epochs of a run there is also the accuracy that is lost where the
measure chooses the epoch. Only runs of one backbone without labels are compared; in brackets are
95 % intervals, from 2,000 draws of methods with replacement.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import rankdata

RESULTS = Path(__file__).parent / "results"
SEEDS = ("mnist5k", "mnist5k-joint", "mnist5k-teachers", "mnist5k-masked")
"""Suites whose runs of a method differ in the seed."""
BATCHES = "mnist5k-batch"
"""Suite whose runs of a method differ in the batch size."""
EPOCHS = "mnist5k-epochs"
"""Suite with one run of each method, whose epochs are compared."""
TARGET = "linear.top1"
BACKBONE = "small_conv"
"""Backbone of the runs that are compared."""
NUM_DRAWS = 2000
"""Number of draws of methods for an interval."""
MEASURES: dict[str, Callable[[dict[str, float]], float | None]] = {
    "RankMe": lambda m: m.get("rankme"),
    "LiDAR": lambda m: m.get("lidar"),
    "α-ReQ, distance from 1": lambda m: -abs(m["alpha_req"] - 1) if "alpha_req" in m else None,
    "alignment": lambda m: _negative(m.get("alignment_uniformity.alignment")),
    "uniformity": lambda m: _negative(m.get("alignment_uniformity.uniformity")),
    "*kNN, with labels*": lambda m: m.get("knn.top1"),
    "*ten labels a class*": lambda m: m.get("few_label.10.top1"),
    "number of the epoch": lambda m: m.get("epoch"),
}
"""Measures by name: functions that map a run's metrics to a number, where higher is better."""

Run = dict[str, Any]


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def read_runs(suite: str) -> list[Run]:
    """Return the finished runs of a suite, sorted by method; none if it has no results.

    The suite :data:`EPOCHS` has a run for each epoch in which one was evaluated.
    """
    file = RESULTS / f"{suite}.json"
    if not file.is_file():
        return []
    runs = [run for run in json.loads(file.read_text("utf-8"))["runs"] if run["results"]]
    compared = [
        run
        for run in runs
        if run["results"]["backbone"] == BACKBONE and not run["results"].get("uses_labels")
    ]
    if suite == EPOCHS:
        compared = [epoch for run in compared for epoch in epochs_of(run)]
    return sorted(compared, key=lambda run: str(run["method"]))


def epochs_of(run: Run) -> Iterator[Run]:
    """Yield the evaluated epochs of a run as runs of their own, in their order."""
    for epoch in sorted({int(epoch) for values in run["epochs"].values() for epoch in values}):
        metrics = {
            name: values[str(epoch)]
            for name, values in run["epochs"].items()
            if str(epoch) in values
        }
        yield {"method": run["method"], "results": {"metrics": {**metrics, "epoch": epoch}}}


def pairs(runs: list[Run], measure: str) -> list[tuple[float, float]]:
    """Return the measure and the accuracy of each run that has both."""
    found = []
    for run in runs:
        metrics = run["results"]["metrics"]
        value, accuracy = MEASURES[measure](metrics), metrics.get(TARGET)
        if value is not None and accuracy is not None:
            found.append((value, accuracy))
    return found


def pairs_of_methods(suites: tuple[str, ...], measure: str) -> Iterator[list[tuple[float, float]]]:
    """Yield the measures and accuracies of the runs of each method in suites."""
    for suite in suites:
        for _, runs in groupby(read_runs(suite), key=lambda run: run["method"]):
            yield pairs(list(runs), measure)


def correlation(values: np.ndarray) -> np.ndarray:
    """Return the rank correlation of pairs ``(..., number of pairs, 2)``; NaN if undefined."""
    ranks = rankdata(values, axis=-2)
    if values.shape[-2] < 3:
        return np.full(values.shape[:-2], np.nan)
    ranks -= ranks.mean(axis=-2, keepdims=True)
    first, second = ranks[..., 0], ranks[..., 1]
    with np.errstate(invalid="ignore"):
        products = (first * second).sum(-1)
        return products / np.sqrt((first**2).sum(-1) * (second**2).sum(-1))


def mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of values ``(..., number of values)``."""
    return values.mean(axis=-1)


def with_interval(
    per_method: Sequence[float] | Sequence[tuple[float, float]],
    statistic: Callable[[np.ndarray], np.ndarray],
) -> str:
    """Return a statistic of one value or pair a method with its interval, as a cell of a table."""
    if not per_method:
        return "–"
    items = np.asarray(per_method, float)
    value = float(statistic(items))
    if math.isnan(value):
        return "–"
    draws = np.random.default_rng(0).integers(len(items), size=(NUM_DRAWS, len(items)))
    low, high = np.nanquantile(statistic(items[draws]), (0.025, 0.975))
    return f"{value:.2f} [{low:.2f}, {high:.2f}], {len(items)} methods"


def between_methods(suites: tuple[str, ...], measure: str) -> str:
    """Return the correlation of the means of the methods of suites, as a cell of the table."""
    means = [
        (fmean(value for value, _ in values), fmean(accuracy for _, accuracy in values))
        for values in pairs_of_methods(suites, measure)
        if values
    ]
    return with_interval(means, correlation)


def within_methods(suites: tuple[str, ...], measure: str) -> str:
    """Return the mean over methods of the correlation of their runs, as a cell of the table."""
    found = [float(correlation(np.array(v))) for v in pairs_of_methods(suites, measure) if v]
    return with_interval([value for value in found if not math.isnan(value)], mean)


def lost_by_choice(measure: str) -> str:
    """Return by how many points the chosen epochs are worse than the best, as a cell."""
    lost = [
        100 * (max(accuracy for _, accuracy in values) - max(values, key=lambda v: v[0])[1])
        for values in pairs_of_methods((EPOCHS,), measure)
        if values
    ]
    return with_interval(lost, mean)


def table() -> str:
    """Return the table of all measures and comparisons for which there are runs."""
    headings = (
        "between methods",
        "between seeds of a method",
        "between batch sizes of a method",
        "between epochs of a run",
        "points lost by its epoch",
    )
    rows = []
    for measure in MEASURES:
        means = between_methods(SEEDS, measure)
        rows.append(
            (
                between_methods((BATCHES,), measure) if means == "–" else means,
                within_methods(SEEDS, measure),
                within_methods((BATCHES,), measure),
                within_methods((EPOCHS,), measure),
                lost_by_choice(measure),
            )
        )
    used = [i for i in range(len(headings)) if any(row[i] != "–" for row in rows)]
    lines = [
        f"| measure | {' | '.join(headings[i] for i in used)} |",
        "|---|" + "---:|" * len(used),
    ]
    for measure, row in zip(MEASURES, rows, strict=True):
        if set(row) != {"–"}:
            lines.append(f"| {measure} | {' | '.join(row[i] for i in used)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (RESULTS / "label_free.md").write_text(table(), encoding="utf-8")
    print(table())

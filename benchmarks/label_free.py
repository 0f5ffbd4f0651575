"""Measure how far figures without labels agree with the accuracy of a linear probe.

    python benchmarks/label_free.py

Reads the committed results of the suites of digits and writes benchmarks/results/label_free.md: for
each measure its rank correlation (Spearman) with ``linear.top1``, between methods and between the
runs of a method. A correlation of 1 means that the measure ranks the runs as the probe does, 0 that
it says nothing. Only runs of one backbone without labels are compared; in brackets are 95 %
intervals, from 2,000 draws of methods with replacement.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy.stats import spearmanr

RESULTS = Path(__file__).parent / "results"
SEEDS = ("mnist5k", "mnist5k-joint", "mnist5k-teachers", "mnist5k-masked")
"""Suites whose runs of a method differ in the seed."""
BATCHES = "mnist5k-batch"
"""Suite whose runs of a method differ in the batch size."""
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
}
"""Measures by name: functions that map a run's metrics to a number, where higher is better."""

Run = dict[str, Any]


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def read_runs(suite: str) -> list[Run]:
    """Return the finished runs of a suite, sorted by method; none if it has no results."""
    file = RESULTS / f"{suite}.json"
    if not file.is_file():
        return []
    runs = [run for run in json.loads(file.read_text("utf-8"))["runs"] if run["results"]]
    compared = [
        run
        for run in runs
        if run["results"]["backbone"] == BACKBONE and not run["results"].get("uses_labels")
    ]
    return sorted(compared, key=lambda run: str(run["method"]))


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


def correlation(values: list[tuple[float, float]]) -> float | None:
    """Return the rank correlation of pairs, or None if it is not defined."""
    columns = tuple(zip(*values, strict=True))
    if len(values) < 3 or any(len(set(column)) == 1 for column in columns):
        return None
    return float(spearmanr(*columns).statistic)


def with_interval(items: list[Any], statistic: Callable[[list[Any]], float | None]) -> str:
    """Return a statistic of one item a method with its interval, as a cell of the table."""
    value = statistic(items)
    if value is None:
        return "–"
    draw = random.Random(0)
    drawn = (statistic(draw.choices(items, k=len(items))) for _ in range(NUM_DRAWS))
    known = sorted(number for number in drawn if number is not None)
    low, high = (known[round(q * (len(known) - 1))] for q in (0.025, 0.975))
    return f"{value:.2f} [{low:.2f}, {high:.2f}], {len(items)} methods"


def between_methods(suites: tuple[str, ...], measure: str) -> str:
    """Return the correlation of the means of the methods of suites, as a cell of the table."""
    means: list[tuple[float, float]] = []
    for values in pairs_of_methods(suites, measure):
        if values:
            first, second = zip(*values, strict=True)
            means.append((fmean(first), fmean(second)))
    return with_interval(means, correlation)


def within_methods(suites: tuple[str, ...], measure: str) -> str:
    """Return the mean over methods of the correlation of their runs, as a cell of the table."""
    found = map(correlation, pairs_of_methods(suites, measure))
    known = [value for value in found if value is not None]
    return with_interval(known, lambda values: fmean(values) if values else None)


def table() -> str:
    """Return the table of all measures and comparisons for which there are runs."""
    headings = ("between methods", "between seeds of a method", "between batch sizes of a method")
    rows = []
    for measure in MEASURES:
        means = between_methods(SEEDS, measure)
        rows.append(
            (
                between_methods((BATCHES,), measure) if means == "–" else means,
                within_methods(SEEDS, measure),
                within_methods((BATCHES,), measure),
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

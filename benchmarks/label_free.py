"""Measure how far figures without labels agree with the accuracy of a linear probe.

    python benchmarks/label_free.py

Reads the committed results of the suites of digits and writes benchmarks/results/label_free.md: for
each measure its rank correlation (Spearman) with ``linear.top1``, between methods and between the
runs of a method. A correlation of 1 means that the measure ranks the runs as the probe does, 0 that
it says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
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
    runs = json.loads(file.read_text("utf-8"))["runs"]
    return sorted((run for run in runs if run["results"]), key=lambda run: str(run["method"]))


def pairs(runs: list[Run], measure: str) -> list[tuple[float, float]]:
    """Return the measure and the accuracy of each run that has both."""
    found = []
    for run in runs:
        metrics = run["results"]["metrics"]
        value, accuracy = MEASURES[measure](metrics), metrics.get(TARGET)
        if value is not None and accuracy is not None:
            found.append((value, accuracy))
    return found


def correlation(values: list[tuple[float, float]]) -> float | None:
    """Return the rank correlation of pairs, or None if it is not defined."""
    columns = tuple(zip(*values, strict=True))
    if len(values) < 3 or any(len(set(column)) == 1 for column in columns):
        return None
    return float(spearmanr(*columns).statistic)


def between_methods(suites: tuple[str, ...], measure: str) -> str:
    """Return the correlation of the means of the methods of suites, as a cell of the table."""
    means = []
    for suite in suites:
        for _, runs in groupby(read_runs(suite), key=lambda run: run["method"]):
            values = pairs(list(runs), measure)
            if values:
                means.append(tuple(map(fmean, zip(*values, strict=True))))
    found = correlation(means)
    return "–" if found is None else f"{found:.2f} ({len(means)} methods)"


def within_methods(suites: tuple[str, ...], measure: str) -> str:
    """Return the mean over methods of the correlation of their runs, as a cell of the table."""
    found = []
    for suite in suites:
        for _, runs in groupby(read_runs(suite), key=lambda run: run["method"]):
            found.append(correlation(pairs(list(runs), measure)))
    known = [value for value in found if value is not None]
    return "–" if not known else f"{fmean(known):.2f} ({len(known)} methods)"


def table() -> str:
    """Return the table of all measures that some run has."""
    columns = ("between methods", "between seeds of a method", "between batch sizes of a method")
    lines = [f"| measure | {' | '.join(columns)} |", "|---|---:|---:|---:|"]
    for measure in MEASURES:
        suites = SEEDS if between_methods(SEEDS, measure) != "–" else (BATCHES,)
        cells = (
            between_methods(suites, measure),
            within_methods(SEEDS, measure),
            within_methods((BATCHES,), measure),
        )
        if set(cells) != {"–"}:
            lines.append(f"| {measure} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (RESULTS / "label_free.md").write_text(table(), encoding="utf-8")
    print(table())

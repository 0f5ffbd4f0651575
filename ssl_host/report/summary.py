"""Compare the metrics of a finished run with its baselines, for all kinds of reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ssl_host.contracts.evaluation import Figure
from ssl_host.toolkit.plurals import pluralize

_UNDECLARED = Figure("", higher_is_better=None)
_ACCURACY = "top1"
"""Last part of the names of metrics that are fractions of the held-out images."""
STANDARD_ERRORS = 2.0
"""Number of standard errors below which the margin of an accuracy may be chance."""


@dataclass(frozen=True)
class FigureRow:
    """Measured metric with its baselines.

    Attributes:
        name: name of the metric in ``results.json``.
        value: value of the metric; accuracies and other percentages are fractions from 0 to 1.
        figure: the metric's declaration.
        baselines: values of the baselines that were measured, keyed by prefix.
        std: standard deviation of the value; None if the evaluator did not measure one.
        trained: names of the baselines that were trained elsewhere, such as published weights.
        needs_labels: True if the evaluator that measured it needs labels or uses annotations of
            its own; None if it is unknown, or if no evaluator measured it.
        data: setting ``data`` of the evaluator, which names a section ``[data.NAME]``; None if it
            measured the images of ``[data]``.
    """

    name: str
    value: float
    figure: Figure
    baselines: Mapping[str, float] = field(default_factory=dict)
    std: float | None = None
    trained: frozenset[str] = frozenset()
    needs_labels: bool | None = None
    data: str | None = None

    @property
    def label(self) -> str:
        """The name of the metric with its unit, such as ``linear.top1, %``."""
        return self.figure.label(self.name)

    @property
    def best_baseline(self) -> float | None:
        """Best value of a baseline that was not trained.

        It is None without such baselines, or if neither high nor low is better.
        """
        values = [value for name, value in self.baselines.items() if name not in self.trained]
        if not values or self.figure.higher_is_better is None:
            return None
        return max(values) if self.figure.higher_is_better else min(values)

    @property
    def learned(self) -> bool | None:
        """True if the value beats all untrained baselines; None if it cannot be compared."""
        best = self.best_baseline
        return None if best is None else self._beats(best)

    @property
    def better_weights(self) -> list[str]:
        """Names of the trained baselines that the value does not beat."""
        if self.figure.higher_is_better is None:
            return []
        found = [name for name in self.baselines if name in self.trained]
        return [name for name in found if not self._beats(self.baselines[name])]

    def _beats(self, other: float) -> bool:
        """Return True if the value is better than another one."""
        return self.value > other if self.figure.higher_is_better else self.value < other


@dataclass(frozen=True)
class Summary:
    """Metrics of a finished run, with a verdict on whether the network learned.

    Attributes:
        rows: metrics that are percentages or are compared with baselines, in the order in which
            they were measured.
        others: all other metrics.
        verdict: a sentence that says which metrics beat their baselines.
        baseline_labels: labels of the baselines, keyed by the prefix of their metrics.
        notes: remarks that readers of the metrics should know, including the number of images
            that could not be read.
        advice: what to try next if no metric beats its baselines, most likely first.
    """

    rows: tuple[FigureRow, ...]
    others: tuple[FigureRow, ...]
    verdict: str
    baseline_labels: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def find(self, name: str) -> FigureRow | None:
        """Return the row of a metric, or None if it was not measured."""
        return next((row for row in (*self.rows, *self.others) if row.name == name), None)

    @property
    def headlines(self) -> tuple[FigureRow, ...]:
        """Metrics that are declared as headlines.

        If the names of metrics differ only in numbers, only the last of these metrics is included.
        """
        latest = {
            _without_numbers(row.name): row
            for row in (*self.rows, *self.others)
            if row.figure.headline
        }
        return tuple(latest.values())


def summarize(results: Mapping[str, Any]) -> Summary:
    """Return the metrics of a finished run with their baselines and a verdict.

    Args:
        results: the content of ``results.json``: ``metrics`` contains the values, ``figures`` the
            declarations, ``baselines`` the titles of the baselines, and ``uses_labels`` whether the
            method was trained with labels. Metrics without a value are skipped.
    """
    metrics = {k: v for k, v in results["metrics"].items() if v is not None}
    figures = results.get("figures", {})
    declared = {k: _read_figure(v) for k, v in figures.items()}
    labels = _baseline_labels(results, declared)
    about = results.get("baselines", {})
    trained = frozenset(name for name in about if about[name].get("is_trained"))
    rows: list[FigureRow] = []
    others: list[FigureRow] = []
    for name, value in metrics.items():
        if _is_of_baseline(name, labels) or _is_std(name, metrics):
            continue
        figure = declared.get(name, _UNDECLARED)
        baselines = {key: metrics[f"{key}.{name}"] for key in labels if f"{key}.{name}" in metrics}
        about_evaluator = {k: figures.get(name, {}).get(k) for k in ("needs_labels", "data")}
        std = metrics.get(f"{name}_std")
        row = FigureRow(name, value, figure, baselines, std, trained, **about_evaluator)
        (rows if figure.baseline or figure.unit == "%" else others).append(row)
    num_test = results.get("images", {}).get("test")
    verdict = " ".join([_verdict(rows, labels), *_uncertain_margins(rows, num_test)])
    if results.get("uses_labels"):
        verdict = f"Trained with labels, so this is not self-supervised. {verdict}"
    notes = [str(note) for note in results.get("notes", ())]
    skipped = results.get("skipped", ())
    if skipped:
        notes.append(
            f"{pluralize(len(skipped), 'unreadable image')} left out, for example "
            f"{skipped[0]['image']} ({skipped[0]['reason']})"
        )
    advice = tuple(str(text) for text in results.get("advice", ()))
    return Summary(tuple(rows), tuple(others), verdict, labels, tuple(notes), advice)


def summary_tables(results: Mapping[str, Any], printed: Sequence[str] = ()) -> Group:
    """Return a finished run's metrics as tables for the terminal, with verdict, advice and notes.

    Args:
        results: the content of ``results.json``.
        printed: notes to leave out, because they have already been printed.
    """
    summary = summarize(results)
    labels = summary.baseline_labels
    table = Table("", "this run", *labels.values(), box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for row in summary.rows:
        style = {True: "bold green", False: "yellow", None: ""}[row.learned]
        value = Text.assemble((row.figure.format(row.value), style), _format_std(row))
        baselines = [row.figure.format(row.baselines.get(key)) for key in labels]
        table.add_row(row.label, value, *baselines)
    others = Table("", "", box=None, pad_edge=False, show_header=False)
    others.columns[0].no_wrap = True
    for row in summary.others:
        others.add_row(row.label, row.figure.format(row.value))
    notes = [Text(f"note: {note}") for note in summary.notes if note not in printed]
    advice = [Text(f"advice: {text}") for text in summary.advice]
    compared = [table] if summary.rows else []  # else it would be a line of headings
    return Group(*compared, others, Text(summary.verdict), *advice, *notes)


def _format_std(row: FigureRow) -> str:
    """Return the standard deviation as text, such as `` ±1.2``; empty if there is none."""
    if row.std is None:
        return ""
    return f" ±{100 * row.std:.1f}" if row.figure.unit == "%" else f" ±{row.std:.2g}"


def _read_figure(declaration: Mapping[str, Any]) -> Figure:
    """Return a Figure read from ``results.json``; keys unknown to this version are dropped."""
    names = {item.name for item in fields(Figure)}
    return Figure(**{key: value for key, value in declaration.items() if key in names})


def _baseline_labels(results: Mapping[str, Any], declared: Mapping[str, Figure]) -> dict[str, str]:
    """Return the labels of the baselines, keyed by prefix.

    Results of early versions do not list their baselines; the prefixes then follow from the names
    of the metrics, and are used as labels.
    """
    if "baselines" in results:
        return {key: str(about["label"]) for key, about in results["baselines"].items()}
    compared = [name for name, figure in declared.items() if figure.baseline]
    prefixes = (
        metric.removesuffix(f".{name}")
        for name in compared
        for metric in results["metrics"]
        if metric.endswith(f".{name}")
    )
    return {prefix: prefix for prefix in prefixes}


def _is_of_baseline(name: str, baselines: Iterable[str]) -> bool:
    """Return True if the name of a metric has the prefix of a baseline."""
    return any(name.startswith(f"{key}.") for key in baselines)


def _is_std(name: str, metrics: Mapping[str, float]) -> bool:
    """Return True if a metric is the standard deviation of another metric."""
    return name.endswith("_std") and name.removesuffix("_std") in metrics


def _without_numbers(name: str) -> str:
    """Return the name of a metric with ``N`` for each part between dots that is a number."""
    return ".".join("N" if word.isdigit() else word for word in name.split("."))


def _verdict(rows: Sequence[FigureRow], labels: Mapping[str, str]) -> str:
    """Return sentences that say which metrics beat their baselines, by the baselines' labels."""
    compared = [row for row in rows if row.learned is not None]
    failed = [row.name for row in compared if not row.learned]
    if not compared:
        kind = "untrained baselines" if any(row.baselines for row in rows) else "baselines"
        verdict = f"No metric has {kind} to compare with, so nothing can be said about learning."
    elif not failed:
        verdict = "Every metric beats its baselines."
    elif len(failed) == len(compared):
        verdict = "No metric beats its baselines: nothing shows that the network learned."
    else:
        verdict = f"No sign of learning in {', '.join(failed)}: no better than the best baseline."
    better: dict[str, list[str]] = {}
    for row in rows:
        for name in row.better_weights:
            better.setdefault(labels[name], []).append(row.name)
    comparisons = [
        f"{label} is as good or better in {', '.join(n)}." for label, n in better.items()
    ]
    return " ".join([verdict, *comparisons])


def _uncertain_margins(rows: Sequence[FigureRow], num_test: int | None) -> Iterator[str]:
    """Yield a sentence on accuracies whose margin over the baselines may be chance.

    The standard error is that of the difference of two proportions of ``num_test`` images. It is
    an upper limit, because both are of the same images.
    """
    names = []
    for row in rows:
        best = row.best_baseline
        if not row.learned or best is None or row.name.rpartition(".")[2] != _ACCURACY:
            continue
        if row.data is not None or not num_test:
            continue
        variance = (row.value * (1 - row.value) + best * (1 - best)) / num_test
        if row.value - best < STANDARD_ERRORS * math.sqrt(variance):
            names.append(row.name)
    if names:
        yield (
            f"With {pluralize(num_test or 0, 'held-out image')} the margin of {', '.join(names)} "
            "may be chance: it is less than two standard errors."
        )

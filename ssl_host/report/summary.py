"""Figures beside their baselines, as rows that terminal and page both show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

RANDOM_NETWORK = "random_init"
BASELINES = {
    RANDOM_NETWORK: "random network",
    "pixels": "raw pixels",
    "statistics": "simple statistics",
}
"""The baselines of every accuracy, and how people call them."""

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Row:
    """An accuracy and what it has to beat, as fractions.

    Attributes:
        baselines: by the baseline's key; empty for figures that have none.
        std: spread over draws, where there are several.
    """

    name: str
    value: float
    baselines: Mapping[str, float]
    std: float | None = None

    @property
    def best(self) -> float | None:
        """The highest baseline."""
        return max(self.baselines.values(), default=None)

    @property
    def learned(self) -> bool | None:
        """Whether it beats all its baselines; None without any."""
        return None if self.best is None else self.value > self.best


def accuracies(metrics: Metrics) -> list[Row]:
    """The rows of all accuracies, in the order in which they were measured."""
    rows = []
    for name, value in metrics.items():
        if value is None or name.split(".")[0] in BASELINES or not _is_accuracy(name):
            continue
        found = {key: metrics.get(f"{key}.{name}") for key in BASELINES}
        kept = {key: number for key, number in found.items() if number is not None}
        rows.append(Row(name, value, kept, metrics.get(f"{name}_std")))
    return rows


def other_figures(metrics: Metrics) -> dict[str, float]:
    """Everything that is neither an accuracy nor a baseline nor a spread."""
    return {
        name: value
        for name, value in metrics.items()
        if value is not None
        and name.split(".")[0] not in BASELINES
        and not _is_accuracy(name)
        and not name.endswith("_std")
    }


def verdict(metrics: Metrics) -> str:
    """One sentence on whether anything was learned."""
    rows = [row for row in accuracies(metrics) if row.learned is not None]
    if not rows:
        return "No accuracy stands here with baselines beside it: nothing can be said of learning."
    below = [row.name for row in rows if not row.learned]
    if not below:
        return "Every accuracy beats its three baselines."
    if len(below) == len(rows):
        return (
            "No accuracy beats its three baselines: these figures do not show that anything "
            "was learned."
        )
    return f"Not above all three baselines, and so no sign of learning: {', '.join(below)}."


def tables(results: Mapping[str, Any]) -> Group:
    """The accuracies in per cent, and the other figures, for the terminal."""
    view = Table("", "this run", *BASELINES.values(), box=None, pad_edge=False)
    view.columns[0].no_wrap = True
    for column in view.columns[1:]:
        column.justify = "right"
    for row in accuracies(results["metrics"]):
        style = {True: "bold green", False: "yellow", None: ""}[row.learned]
        spread = f" ±{100 * row.std:.1f}" if row.std is not None else ""
        shown = Text.assemble((per_cent(row.value), style), spread)
        beside = [per_cent(row.baselines.get(key)) for key in BASELINES]
        view.add_row(row.name, shown, *beside)
    others = Table("", "", box=None, pad_edge=False, show_header=False)
    others.columns[0].no_wrap = True
    for name, value in other_figures(results["metrics"]).items():
        others.add_row(name, f"{value:.4g}")
    return Group(view, others)


def per_cent(value: float | None) -> str:
    """A fraction as per cent, a dash for none."""
    return "–" if value is None else f"{100 * value:.2f}"


def _is_accuracy(name: str) -> bool:
    return name.rsplit(".", 1)[-1] in ("top1", "top5")

"""A suite's table: one row for each combination, mean and spread over the seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from urllib.parse import quote

from ssl_host.benchmark.runs import Finished
from ssl_host.benchmark.suite import FIGURES, Suite
from ssl_host.report.page import render
from ssl_host.report.summary import BASELINES, accuracies

SETTING = ("epochs",)
"""What was set, not measured: told as it stands."""

WEIGHTS = ("backbone.safetensors", "linear.safetensors")


@dataclass(frozen=True)
class Figure:
    """A mean over seeds, accuracies in per cent.

    Attributes:
        spread: standard deviation over the seeds, where there are several.
        learned: whether every seed is above its three baselines; None where there are none.
        exact: whether it is told as it stands, a setting's value.
    """

    value: float
    spread: float | None = None
    learned: bool | None = None
    exact: bool = False

    def __str__(self) -> str:
        if self.exact and not self.spread:
            return f"{self.value:g}"
        digits = 1 if self.value < 1000 else 0
        spread = "" if self.spread is None else f" ± {self.spread:.{digits}f}"
        mark = " ↓" if self.learned is False else ""
        return f"{self.value:.{digits}f}{spread}{mark}"


@dataclass(frozen=True)
class TableRow:
    """One line of the table.

    Attributes:
        label: the choice on each axis; or the baseline, or ``method (published)``.
        kind: ``run``, ``baseline`` or ``published``.
        figures: by metric.
        note: seeds that are left out, or where published figures are from.
        links: a seed and a file of weights, relative to the suite's folder.
    """

    label: tuple[str, ...]
    kind: str
    figures: Mapping[str, Figure]
    note: str = ""
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """All rows.

    Attributes:
        axes: names of the columns of the labels.
        columns: metrics that at least one row has.
    """

    name: str
    axes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    seeds: tuple[int, ...]


def make_table(suite: Suite, finished: Sequence[Finished]) -> Table:
    """Rows of all combinations in the suite's order, then the baselines, then published ones."""
    groups: dict[tuple[str, ...], list[Finished]] = {}
    for done in finished:
        groups.setdefault(tuple(done.cell.choice.values()), []).append(done)
    axes = tuple(finished[0].cell.choice)
    rows = [_run_row(suite, label, cells) for label, cells in groups.items()]
    rows += _baseline_rows(groups)
    rows += [
        TableRow(
            (f"{method} (published)", *[""] * (len(axes) - 1)),
            "published",
            {k: Figure(100 * v) for k, v in given.items() if k != "source"},
            str(given.get("source", "")),
        )
        for method, given in suite.published.items()
    ]
    columns = tuple(c for c in FIGURES if any(c in row.figures for row in rows))
    seeds = tuple(dict.fromkeys(done.cell.seed for done in finished))
    return Table(suite.name, axes, columns, tuple(rows), seeds)


def _run_row(suite: Suite, label: tuple[str, ...], cells: Sequence[Finished]) -> TableRow:
    found = [done for done in cells if done.results is not None]
    figures = {}
    for name in FIGURES:
        values = [v for done in found if (v := _value(done, name)) is not None]
        if values:
            figures[name] = _figure(name, values, _learned(found, name))
    links = tuple(
        (str(done.cell.seed), f"{done.cell.name}/{file}")
        for done in found
        for file in WEIGHTS
        if (suite.folder / done.cell.name / file).exists()
    )
    lost = [done for done in cells if done.results is None]
    notes = [
        f"without seed {', '.join(seeds)}{why}"
        for changed, why in ((False, ""), (True, ": of another configuration"))
        if (seeds := [str(done.cell.seed) for done in lost if done.changed == changed])
    ]
    return TableRow(label, "run", figures, "; ".join(notes), links)


def _baseline_rows(
    groups: Mapping[tuple[str, ...], Sequence[Finished]],
) -> Iterator[TableRow]:
    """What needs no training: the same for all methods, so once for each of the other axes."""
    others: dict[tuple[str, ...], list[Finished]] = {}
    for label, cells in groups.items():
        others.setdefault(label[1:], []).extend(done for done in cells if done.results is not None)
    for rest, cells in others.items():
        for key, called in BASELINES.items():
            figures = {}
            for name in FIGURES:
                by_seed: dict[int, list[float]] = {}
                for done in cells:
                    value = _value(done, f"{key}.{name}")
                    if value is not None:
                        by_seed.setdefault(done.cell.seed, []).append(value)
                if by_seed:
                    figures[name] = _figure(name, [fmean(v) for v in by_seed.values()])
            if figures:
                yield TableRow((called, *rest), "baseline", figures)


def _value(done: Finished, name: str) -> float | None:
    assert done.results is not None
    found = done.results.get(name, done.results["metrics"].get(name))
    return None if found is None else float(found)


def _scale(name: str) -> float:
    return 100.0 if name.rsplit(".", 1)[-1].startswith("top") else 1.0


def _figure(name: str, values: Sequence[float], learned: bool | None = None) -> Figure:
    scale = _scale(name)
    spread = scale * stdev(values) if len(values) > 1 else None
    return Figure(scale * fmean(values), spread, learned, name in SETTING)


def _learned(found: Sequence[Finished], name: str) -> bool | None:
    said = [
        row.learned
        for done in found
        if done.results is not None
        for row in accuracies(done.results["metrics"])
        if row.name == name and row.learned is not None
    ]
    return all(said) if said else None


def markdown(table: Table) -> str:
    """For a README: the figures, then the weights."""
    titles = [*table.axes, *(FIGURES[c] for c in table.columns)]
    lines = [_line(titles), "|" + "---|" * len(table.axes) + "---:|" * len(table.columns)]
    for row in table.rows:
        label = list(row.label)
        label[0] += f" ({row.note})" if row.note else ""
        lines.append(_line([*label, *(str(row.figures.get(c, "–")) for c in table.columns)]))
    lines += ["", explanation(table)]
    weights = [row for row in table.rows if row.links]
    if weights:
        lines += ["", "Weights, by seed:", ""]
    for row in weights:
        links = ", ".join(
            f"[{Path(target).stem} {seed}]({quote(target)})" for seed, target in row.links
        )
        lines.append(f"- {' '.join(row.label)}: {links}")
    return "\n".join(lines) + "\n"


def explanation(table: Table) -> str:
    """What the figures are."""
    seeds = ", ".join(map(str, table.seeds))
    spread = "Mean ± standard deviation over seeds" if len(table.seeds) > 1 else "Seed"
    return (
        f"{spread} {seeds}; accuracies in per cent on the held-out images; ↓ marks one that is "
        "not above all three baselines with every seed."
    )


def as_csv(table: Table) -> str:
    """For a spreadsheet: means, spreads and files of weights in columns of their own."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            *(*table.axes, "kind"),
            *(n for c in table.columns for n in (c, f"{c}_std")),
            *("note", "weights"),
        ]
    )
    for row in table.rows:
        numbers: list[str] = []
        for column in table.columns:
            figure = row.figures.get(column)
            spread = figure.spread if figure else None
            numbers += ["" if n is None else f"{n:.6g}" for n in (figure and figure.value, spread)]
        weights = " ".join(target for _, target in row.links)
        writer.writerow([*row.label, row.kind, *numbers, row.note, weights])
    return out.getvalue()


def as_html(table: Table) -> str:
    """A page that stands alone; a click on a heading sorts."""
    return render(
        "table.html", title=table.name, table=table, titles=FIGURES, explanation=explanation(table)
    )


def as_json(suite: Suite, finished: Sequence[Finished]) -> dict[str, Any]:
    """Every raw figure of every cell."""
    cells = [
        {
            "cell": done.cell.name,
            **done.cell.choice,
            "seed": done.cell.seed,
            "fault": done.fault if done.results is None else "",
            "results": done.results,
        }
        for done in finished
    ]
    return {"suite": suite.name, "cells": cells}


def _line(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(escaped)} |"

"""Build the table of a suite: one row per combination, averaged over the seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Literal

from ssl_host import Figure, RankedRun, Ranking, rank_runs
from ssl_plugin_benchmark.runs import RunOutcome
from ssl_plugin_benchmark.suite import Suite


@dataclass(frozen=True)
class TableCell:
    """Metric averaged over the seeds; metrics with the unit % are in per cent.

    Attributes:
        mean: mean over the seeds.
        std: standard deviation over the seeds; None for a single seed.
        learned: True if the metric beats its baselines for every seed; None if it has no baselines.
        is_setting: True if all values are integers, as for the number of epochs.
    """

    mean: float
    std: float | None = None
    learned: bool | None = None
    is_setting: bool = False

    def __str__(self) -> str:
        if self.is_setting and not self.std:
            return f"{self.mean:g}"
        digits = 1 if self.mean < 1000 else 0
        deviation = "" if self.std is None else f" ± {self.std:.{digits}f}"
        mark = " ↓" if self.learned is False else ""
        return f"{self.mean:.{digits}f}{deviation}{mark}"


@dataclass(frozen=True)
class TableRow:
    """One row of the table of a suite.

    Attributes:
        label: one entry for each axis, such as the names of the method and the dataset. In rows of
            baselines and published results, the first entry is the title of the baseline or
            ``METHOD (published)``.
        kind: ``run``, ``baseline`` or ``published``.
        cells: the averaged metrics, keyed by metric name.
        note: seeds without results, or the source of published metrics.
        run_notes: the notes of the runs in this row.
        links: pairs of a seed and the path of a weights file relative to the suite's folder.
    """

    label: tuple[str, ...]
    kind: Literal["run", "baseline", "published"]
    cells: Mapping[str, TableCell]
    note: str = ""
    links: tuple[tuple[str, str], ...] = ()
    run_notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Table of a suite: columns, rows and notes.

    Attributes:
        name: name of the suite.
        axes: headings of the label columns.
        columns: titles of the other columns, keyed by metric name.
        rows: rows for runs, baselines and published results.
        seeds: seeds that are averaged over.
        notes: names of the runs that have each note, keyed by note; empty for a note that all
            runs have.
        ranking: ranks of the combinations by measures without labels, averaged over the seeds.
    """

    name: str
    axes: tuple[str, ...]
    columns: Mapping[str, str]
    rows: tuple[TableRow, ...]
    seeds: tuple[int, ...]
    ranking: Ranking
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def make_table(suite: Suite, outcomes: Sequence[RunOutcome]) -> Table:
    """Return the table of a suite: all combinations, then baselines, then published results.

    Columns without any value are left out.
    """
    names = list(suite.columns) or _default_columns(suite, outcomes)
    axes = tuple(suite.runs[0].combination)
    groups: dict[tuple[str, ...], list[RunOutcome]] = {}
    for outcome in outcomes:
        groups.setdefault(tuple(outcome.run.combination.values()), []).append(outcome)
    rows = [
        *(_run_row(suite, names, label, group) for label, group in groups.items()),
        *_baseline_rows(names, groups),
        *_published_rows(suite, len(axes)),
    ]
    columns = {
        name: suite.columns.get(name, name)
        for name in names
        if any(name in row.cells for row in rows)
    }
    seeds = tuple(dict.fromkeys(outcome.run.seed for outcome in outcomes))
    ranking = _rank_outcomes(suite, outcomes)
    return Table(suite.name, axes, columns, tuple(rows), seeds, ranking, _notes(outcomes))


def _rank_outcomes(suite: Suite, outcomes: Sequence[RunOutcome]) -> Ranking:
    """Rank the combinations of a suite by measures without labels, averaged over the seeds."""
    return rank_runs(
        [
            RankedRun(
                name=outcome.run.name,
                group=" ".join(outcome.run.combination.values()),
                folder=suite.folder / outcome.run.name,
                results=outcome.results,
            )
            for outcome in outcomes
            if outcome.results is not None
        ]
    )


def _notes(outcomes: Sequence[RunOutcome]) -> dict[str, tuple[str, ...]]:
    """Return the names of the runs that have each note, keyed by note; () if all runs have it."""
    finished = [outcome for outcome in outcomes if outcome.summary is not None]
    names: dict[str, list[str]] = {}
    for outcome in finished:
        for note in outcome.summary.notes if outcome.summary else ():
            names.setdefault(note, []).append(outcome.run.name)
    return {n: () if len(runs) == len(finished) else tuple(runs) for n, runs in names.items()}


def _default_columns(suite: Suite, outcomes: Sequence[RunOutcome]) -> list[str]:
    """Return the names of all columns: epochs, all measured and published metrics, and time."""
    summaries = [outcome.summary for outcome in outcomes if outcome.summary is not None]
    measured = [row.name for summary in summaries for row in (*summary.rows, *summary.others)]
    published = [row.name for entry in suite.published.values() for row in entry.figures]
    return list(dict.fromkeys(["epochs", *measured, *published, "wall_time_s"]))


def _run_row(
    suite: Suite, names: Sequence[str], label: tuple[str, ...], outcomes: Sequence[RunOutcome]
) -> TableRow:
    """Return the row of one combination, averaged over its seeds."""
    cells = {}
    for name in names:
        metrics = [row for outcome in outcomes if (row := outcome.find(name)) is not None]
        if metrics:
            compared = [row.learned for row in metrics if row.learned is not None]
            learned = all(compared) if compared else None
            cells[name] = _average([row.value for row in metrics], metrics[0].figure, learned)
    links = tuple(
        (str(outcome.run.seed), f"{outcome.run.name}/{file.name}")
        for outcome in outcomes
        if outcome.results is not None
        for file in sorted((suite.folder / outcome.run.name).glob("*.safetensors"))
    )
    summaries = [outcome.summary for outcome in outcomes if outcome.summary is not None]
    notes = tuple(dict.fromkeys(note for summary in summaries for note in summary.notes))
    remarks = [_missing_seeds(outcomes)]
    if any((outcome.results or {}).get("uses_labels") for outcome in outcomes):
        remarks.append("trained with labels, not self-supervised")
    return TableRow(label, "run", cells, "; ".join(filter(None, remarks)), links, notes)


def _missing_seeds(outcomes: Sequence[RunOutcome]) -> str:
    """Return a note that lists the seeds without results, such as ``without seed 1, 2``."""
    notes = []
    for changed, reason in ((False, ""), (True, ": different configuration")):
        seeds = [
            str(outcome.run.seed)
            for outcome in outcomes
            if outcome.results is None and outcome.changed == changed
        ]
        if seeds:
            notes.append(f"without seed {', '.join(seeds)}{reason}")
    return "; ".join(notes)


def _baseline_rows(
    names: Sequence[str], groups: Mapping[tuple[str, ...], Sequence[RunOutcome]]
) -> Iterator[TableRow]:
    """Yield a row for each baseline and each combination of all axes except the method.

    All methods in a combination share the same baselines, so each seed is counted once.
    """
    groups_without_method: dict[tuple[str, ...], list[RunOutcome]] = {}
    for label, outcomes in groups.items():
        groups_without_method.setdefault(label[1:], []).extend(outcomes)
    for rest, outcomes in groups_without_method.items():
        summaries = [outcome.summary for outcome in outcomes if outcome.summary is not None]
        titles = {k: title for s in summaries for k, title in s.baseline_labels.items()}
        for baseline, title in titles.items():
            cells = {name: _baseline_cell(baseline, name, outcomes) for name in names}
            measured = {name: cell for name, cell in cells.items() if cell is not None}
            if measured:
                yield TableRow((title, *rest), "baseline", measured)


def _baseline_cell(baseline: str, name: str, outcomes: Sequence[RunOutcome]) -> TableCell | None:
    """Return a metric's baseline, averaged over the seeds; None if it was not measured."""
    by_seed: dict[int, list[float]] = {}
    figure = Figure("")
    for outcome in outcomes:
        row = outcome.find(name)
        if row is not None and baseline in row.baselines:
            figure = row.figure
            by_seed.setdefault(outcome.run.seed, []).append(row.baselines[baseline])
    if not by_seed:
        return None
    return _average([fmean(values) for values in by_seed.values()], figure)


def _published_rows(suite: Suite, num_axes: int) -> Iterator[TableRow]:
    """Yield a row of published results for each method that has any."""
    for method, published in suite.published.items():
        label = (f"{method} (published)", *[""] * (num_axes - 1))
        cells = {row.name: _average([row.value], row.figure) for row in published.figures}
        yield TableRow(label, "published", cells, published.source)


def _average(values: Sequence[float], figure: Figure, learned: bool | None = None) -> TableCell:
    """Return a metric's mean and standard deviation; fractions are converted to per cent."""
    scale = 100.0 if figure.unit == "%" else 1.0
    std = scale * stdev(values) if len(values) > 1 else None
    is_setting = all(isinstance(value, int) for value in values)
    return TableCell(scale * fmean(values), std, learned, is_setting)

"""Rank runs, and the epochs of each run, by measures that need no labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ssl_host.contracts.evaluation import Figure
from ssl_host.report.epoch_choices import EpochChoice, RankedRun, choose_epochs

TRUST = (
    "How far measures without labels can be trusted: docs/explanation/choosing-without-labels.md."
)
"""Last remark on every ranking."""
DIFFERENCES = {
    "method": "measures without labels do not order methods, they are for runs of one method; in "
    "this project's benchmark, methods with a higher RankMe were rather less accurate",
    "backbone": "the measures depend on the number of features",
    "data": "the measures depend on the images",
}
"""Reasons why runs with different values of a key in ``results.json`` are hard to compare."""
MISSING = "–"
"""Text to show for a value that was not measured."""


class TextTable(NamedTuple):
    """Table as text, for the terminal, Markdown and HTML."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class MeasureRanks:
    """Ranks of runs by one measure.

    Attributes:
        name: name of the metric.
        needs_labels: True if the measure needs labels.
        values: means of the metric, keyed by group of runs.
        ranks: ranks, keyed by group; the best is 1, and equal values have the same rank.
    """

    name: str
    needs_labels: bool
    values: Mapping[str, float]
    ranks: Mapping[str, int]

    @property
    def best(self) -> list[str]:
        """Names of the groups with rank 1."""
        return [group for group, rank in self.ranks.items() if rank == 1]

    def format(self, group: str, figure: Figure) -> str:
        """Return the rank of a group and its value as text; ``=`` marks equal ranks."""
        rank = self.ranks.get(group)
        if rank is None:
            return MISSING
        mark = "=" if list(self.ranks.values()).count(rank) > 1 else ""
        return f"{rank}{mark} ({figure.format(self.values[group])})"


@dataclass(frozen=True)
class Ranking:
    """Ranks of runs by measures without labels, and the epochs that these measures choose.

    Attributes:
        groups: names of the groups of runs, in the order in which they were given.
        measures: ranks by each measure that several groups have. The measures without labels come
            first; if there are none, the ranks by measures with labels are left out.
        epochs: the epochs that the measures choose in each run.
        remarks: sentences on disagreements, missing values and comparisons that mislead.
        figures: declarations of the measures, keyed by metric name.
    """

    groups: tuple[str, ...]
    measures: tuple[MeasureRanks, ...]
    epochs: tuple[EpochChoice, ...]
    remarks: tuple[str, ...]
    figures: Mapping[str, Figure]

    def as_dict(self) -> dict[str, Any]:
        """Return the ranking as a JSON-compatible dict."""
        return {
            "measures": [asdict(measure) for measure in self.measures],
            "epochs": [asdict(choice) for choice in self.epochs],
            "remarks": list(self.remarks),
        }

    def tables(self) -> list[TextTable]:
        """Return the ranks and the chosen epochs as tables; tables without rows are left out."""
        ranks = [
            (group, *(m.format(group, self.figures[m.name]) for m in self.measures))
            for group in self.groups
        ]
        headings = [self._heading(m.name, m.needs_labels) for m in self.measures]
        labelled = list(dict.fromkeys(name for choice in self.epochs for name in choice.labelled))
        columns = [self.figures[name].label(name) for name in labelled]
        tables = [
            TextTable("Ranks of the runs", ("run", *headings), tuple(ranks if headings else ())),
            TextTable(
                "Chosen epochs",
                ("run", "chosen by", "epoch", "value", *columns, "weights"),
                tuple(self._epoch_row(choice, labelled) for choice in self.epochs),
            ),
        ]
        return [table for table in tables if table.rows]

    def _heading(self, name: str, needs_labels: bool | None) -> str:
        """Return the name of a measure, and whether it needs labels."""
        label = self.figures[name].label(name)
        return f"{label} (with labels)" if needs_labels else label

    def _epoch_row(self, choice: EpochChoice, labelled: Sequence[str]) -> tuple[str, ...]:
        """Return a row of the table of chosen epochs."""
        if choice.measure:
            chosen_by = self._heading(choice.measure, choice.needs_labels)
            value = self.figures[choice.measure].format(choice.value)
        else:
            chosen_by, value = "last epoch", MISSING
        metrics = [self.figures[name].format(choice.labelled.get(name)) for name in labelled]
        kept = choice.weights or "not kept"
        return (choice.run, chosen_by, str(choice.epoch), value, *metrics, kept)


def rank_runs(runs: Sequence[RankedRun]) -> Ranking:
    """Rank runs by measures without labels, and find the epochs that these would choose.

    The measures are those metrics of evaluators without labels or annotations whose declarations
    say which values are better. Next to them are the headline metrics of evaluators with labels.

    Args:
        runs: the finished runs. A single run has no ranks, but may have several epochs.
    """
    free, labelled = _declarations(runs, False), _declarations(runs, True)
    measures = [
        ranks
        for names, needs_labels in ((free, False), (labelled, True))
        for name, figure in names.items()
        if len((ranks := _rank(runs, name, figure, needs_labels)).ranks) > 1
    ]
    if all(measure.needs_labels for measure in measures):
        measures = []
    groups = tuple(dict.fromkeys(run.group for run in runs))
    epochs = tuple(choice for run in runs for choice in choose_epochs(run))
    remarks = [*_remarks_on_runs(runs, groups, measures), *_remarks_on_epochs(epochs)]
    if remarks or measures:
        remarks.append(TRUST)
    return Ranking(groups, tuple(measures), epochs, tuple(remarks), {**labelled, **free})


def rank_run(folder: Path, results: Mapping[str, Any]) -> Ranking:
    """Return the epochs of a single run that measures without labels would choose.

    Args:
        folder: folder of the run.
        results: the content of ``results.json``.
    """
    return rank_runs([RankedRun(results["name"], results["name"], folder, results)])


def ranking_tables(ranking: Ranking) -> Group:
    """Return a ranking as tables for the terminal, followed by its remarks."""
    tables = []
    for title, headings, rows in ranking.tables():
        table = Table(*headings, title=title, title_justify="left", box=None, pad_edge=False)
        for column in table.columns:  # names of metrics that begin alike must not be cut off
            column.overflow = "fold"
        for row in rows:
            table.add_row(*row)
        tables.append(table)
    return Group(*tables, *map(Text, ranking.remarks))


def _declarations(runs: Sequence[RankedRun], needs_labels: bool) -> dict[str, Figure]:
    """Return the measures of all runs in order of occurrence, keyed by metric name."""
    figures: dict[str, Figure] = {}
    for run in runs:
        for name, figure in run.measures(needs_labels).items():
            figures.setdefault(name, figure)
    return figures


def _rank(runs: Sequence[RankedRun], name: str, figure: Figure, needs_labels: bool) -> MeasureRanks:
    """Return the ranks of the groups that have a metric."""
    measured: dict[str, list[float]] = {}
    for run in runs:
        row = run.summary.find(name)
        if row is not None:
            measured.setdefault(run.group, []).append(row.value)
    values = {group: fmean(numbers) for group, numbers in measured.items()}
    scores = {g: score for g, v in values.items() if (score := figure.score(v)) is not None}
    ranks = {
        group: 1 + sum(other > score for other in scores.values())
        for group, score in scores.items()
    }
    return MeasureRanks(name, needs_labels, values, ranks)


def _remarks_on_runs(
    runs: Sequence[RankedRun], groups: Sequence[str], measures: Sequence[MeasureRanks]
) -> Iterator[str]:
    """Yield sentences on missing values, agreement, and runs that are hard to compare."""
    if not measures:
        return
    for measure in measures:
        missing = [group for group in groups if group not in measure.ranks]
        if missing:
            yield f"{measure.name} was not measured in {', '.join(missing)}."
    free = [measure for measure in measures if not measure.needs_labels]
    if len(free) > 1:
        common = [group for group in groups if all(group in measure.best for measure in free)]
        if common:
            yield f"All measures without labels prefer {' and '.join(common)}."
        else:
            yield f"The measures without labels disagree: {_preferences(free)}."
    labelled = [measure for measure in measures if measure.needs_labels]
    if labelled:
        yield f"With labels, {_preferences(labelled)}."
    for key, reason in DIFFERENCES.items():
        values = list(dict.fromkeys(str(run.results[key]) for run in runs if key in run.results))
        if len(values) > 1:
            yield f"Warning: the runs differ in the {key} ({', '.join(values)}): {reason}."


def _preferences(measures: Sequence[MeasureRanks]) -> str:
    """Return which group each measure ranks first, as text."""
    return ", ".join(f"{measure.name} prefers {' and '.join(measure.best)}" for measure in measures)


def _remarks_on_epochs(choices: Sequence[EpochChoice]) -> Iterator[str]:
    """Yield sentences on the epochs that measures without labels choose."""
    if choices:
        yield "Epochs are compared on held-out training images."
    for run in dict.fromkeys(choice.run for choice in choices):
        chosen = {
            choice.measure: choice.epoch
            for choice in choices
            if choice.run == run and choice.needs_labels is False
        }
        if len(set(chosen.values())) > 1:
            epochs = ", ".join(f"{name} {epoch}" for name, epoch in chosen.items())
            yield f"The measures without labels choose different epochs of {run}: {epochs}."

"""Find the epochs of a run that measures without labels would choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ssl_host.contracts.evaluation import Figure
from ssl_host.report.curves import read_curves, values_by_epoch
from ssl_host.report.summary import Summary, summarize

LAST_EPOCH = ""
"""Name of the measure in the choice of the last epoch."""


@dataclass(frozen=True)
class RankedRun:
    """Finished run that is ranked, and whose epochs are compared.

    Attributes:
        name: name of the run, unique among the ranked runs.
        group: name under which the run is ranked. Measures are averaged over the runs of a group,
            as over seeds.
        folder: folder of the run, with ``metrics.csv``.
        results: the content of ``results.json``.
    """

    name: str
    group: str
    folder: Path
    results: Mapping[str, Any]

    @cached_property
    def summary(self) -> Summary:
        """The metrics of the run, with their declarations."""
        return summarize(self.results)

    def measures(self, needs_labels: bool) -> dict[str, Figure]:
        """Return the declarations of the run's measures of quality, keyed by metric name.

        Args:
            needs_labels: False for all metrics without labels that declare which values are
                better; True for the headline metrics with labels.
        """
        return {
            row.name: row.figure
            for row in (*self.summary.rows, *self.summary.others)
            if row.needs_labels is needs_labels
            and row.figure.score(row.value) is not None
            and (row.figure.headline or not needs_labels)
        }


@dataclass(frozen=True)
class EpochChoice:
    """Epoch of a run that a measure would choose.

    Attributes:
        run: name of the run.
        measure: name of the metric; empty for the last epoch.
        needs_labels: True if the measure needs labels; None for the last epoch.
        epoch: the epoch, counted from 1; the first one of several with the same value.
        value: value of the measure in this epoch; None for the last epoch.
        labelled: headline metrics with labels in this epoch, keyed by metric name.
        weights: file or folder in the run's folder with the backbone of this epoch; None if it
            was not kept.
    """

    run: str
    measure: str
    needs_labels: bool | None
    epoch: int
    value: float | None
    labelled: Mapping[str, float]
    weights: str | None


def choose_epochs(run: RankedRun) -> Iterator[EpochChoice]:
    """Yield the epoch that each measure would choose, and the last epoch.

    Measures without labels come first. There are no choices if none of them was measured in
    several epochs, as ``[evaluate] every_epochs`` does.
    """
    by_epoch = values_by_epoch(read_curves(run.folder))
    free, labelled = run.measures(needs_labels=False), run.measures(needs_labels=True)
    evaluated = {epoch for name in free for epoch in by_epoch.get(name, ())}
    if len(evaluated) < 2:
        return
    chosen: list[tuple[str, bool | None, int]] = []
    for name, figure in {**free, **labelled}.items():
        scores = {epoch: figure.score(value) for epoch, value in by_epoch.get(name, {}).items()}
        known = {epoch: score for epoch, score in scores.items() if score is not None}
        if len(known) > 1:
            # max returns the first of equal epochs, as [checkpoint] best keeps the first one.
            chosen.append((name, name in labelled, max(known, key=known.__getitem__)))
    for measure, needs_labels, epoch in (*chosen, (LAST_EPOCH, None, max(evaluated))):
        yield EpochChoice(
            run=run.name,
            measure=measure,
            needs_labels=needs_labels,
            epoch=epoch,
            value=by_epoch.get(measure, {}).get(epoch),
            labelled={k: by_epoch[k][epoch] for k in labelled if epoch in by_epoch.get(k, {})},
            weights=_kept_weights(run.results, epoch),
        )


def _kept_weights(results: Mapping[str, Any], epoch: int) -> str | None:
    """Return the name of the file or folder with the backbone of an epoch, None if not kept."""
    if epoch == results.get("epochs"):
        return "backbone.safetensors"
    return "best" if epoch == (results.get("best") or {}).get("epoch") else None

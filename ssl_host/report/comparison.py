"""Write the HTML page that compares finished runs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from ssl_host.config.run_config import RunConfig
from ssl_host.report.curves import draw_charts, read_curves
from ssl_host.report.page import read_json
from ssl_host.report.ranking import Ranking
from ssl_host.report.render import HOST_PACKAGE, render_page
from ssl_host.report.summary import FigureRow, Summary, summarize
from ssl_host.toolkit.atomic_io import atomic_write_text

ALWAYS_DIFFERENT = {("run", "name"), ("run", "dir")}
"""Settings that always differ between two runs, so the page does not list them."""

MISSING = "–"
"""Text to show for a setting that a run does not have."""

IMAGE_SECTIONS = frozenset({"data", "loader", "evaluator"})
"""Sections of the configuration that affect all baselines."""
SPEED = "throughput.images_per_s"
"""Name of a metric that is shown next to the headline metrics."""

BATCH_SETTINGS = (("run", "batch_size"), ("trainer", "accumulate"))
"""Settings that can change the number of negatives, and thus the scale of contrastive losses."""

Difference = tuple[str, str, list[str]]
"""Section and key of a setting, and its value as text in each run."""


@dataclass(frozen=True)
class ComparedRun:
    """Finished run on the comparison page.

    Attributes:
        label: name of the run, unique on the page.
        folder: folder of the run.
        results: the content of ``results.json``.
        config: configuration of the run.
    """

    label: str
    folder: Path
    results: Mapping[str, Any]
    config: RunConfig

    @property
    def loss_settings(self) -> tuple[str, ...]:
        """Settings, as text, that must be the same in two runs to make their losses comparable."""
        return tuple(
            f"{section}.{key}={value.text}"
            for (section, key), value in self.config.entries.items()
            if (section, key) in BATCH_SETTINGS
            or section in ("method", "loss")
            or section.startswith("head.")
        )

    @cached_property
    def summary(self) -> Summary:
        """The metrics of the run with their baselines."""
        return summarize(self.results)


@dataclass(frozen=True)
class BaselineRow:
    """Metrics of a baseline, averaged over the runs that share the baseline.

    Attributes:
        label: name of the baseline.
        runs: labels of these runs; empty if all compared runs share the baseline.
        data: name of the data source.
        values: means as text, keyed by metric name.
    """

    label: str
    runs: list[str]
    data: str
    values: Mapping[str, str]


def run_labels(folders: Sequence[Path]) -> list[str]:
    """Return a unique label for each folder: as few of its last path components as possible."""
    absolute = [folder.resolve() for folder in folders]
    labels = [path.name for path in absolute]
    depth = 1
    while len(set(labels)) < len(labels):
        depth += 1
        labels = ["/".join(path.parts[-depth:]) for path in absolute]
    return labels


def write_comparison(path: Path, runs: Sequence[ComparedRun], ranking: Ranking) -> Path:
    """Write the HTML page that compares runs, and return its path.

    The page shows metrics, training curves, settings that differ, and nearest neighbours.

    Args:
        path: the path of the page.
        runs: the runs, with the settings that they had.
        ranking: the ranks of the runs by measures without labels.
    """
    normalised = len({run.loss_settings for run in runs}) > 1
    different = list(differences(runs))
    compared = _first_rows(row for run in runs for row in run.summary.rows)
    others = _first_rows(row for run in runs for row in run.summary.others)
    main = [name for name, row in others.items() if row.figure.headline or name == SPEED]
    details = _details(compared)
    page = render_page(
        HOST_PACKAGE,
        "comparison.html",
        title=" · ".join(run.label for run in runs) if len(runs) < 4 else f"{len(runs)} runs",
        runs=runs,
        links=[
            quote(Path(os.path.relpath(run.folder / "report.html", path.parent)).as_posix())
            for run in runs
        ],
        figures={name: row for name, row in compared.items() if name not in details},
        main=main,
        ranking=ranking,
        others=details | {name: row for name, row in others.items() if name not in main},
        baselines=list(_baseline_rows(runs)),
        charts=draw_charts(
            {run.label: _curves(run, normalised) for run in runs},
            {k: figure for run in runs for k, figure in run.results.get("figures", {}).items()},
        ),
        normalised=normalised,
        differences=different,
        backbones=list(_backbone_names(runs, different)),
        queries=list(shared_queries(runs)),
        notes=_notes(runs),
        positions={run.label: number for number, run in enumerate(runs)},
    )
    return atomic_write_text(path, page)


def _notes(runs: Sequence[ComparedRun]) -> dict[str, list[str]]:
    """Return the labels of the runs that have each note, keyed by note."""
    notes: dict[str, list[str]] = {}
    for run in runs:
        for note in run.summary.notes:
            notes.setdefault(note, []).append(run.label)
    return notes


def differences(runs: Sequence[ComparedRun]) -> Iterator[Difference]:
    """Yield every setting that differs between the runs, with its value in each run."""
    entries = [run.config.entries for run in runs]
    for key in dict.fromkeys(key for values in entries for key in values):
        texts = [values[key].text if key in values else MISSING for values in entries]
        if key not in ALWAYS_DIFFERENT and len(set(texts)) > 1:
            yield (*key, texts)


def shared_queries(runs: Sequence[ComparedRun]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Yield each query image that several runs share, with its nearest neighbours in each run.

    The neighbours are a list of pairs: the label of a run, and the neighbours in that run.
    """
    queries: dict[str, tuple[dict[str, Any], list[Any]]] = {}
    for run in runs:
        for row in read_json(run.folder / "report.json").get("neighbours", []):
            queries.setdefault(row["image"], (row, []))[1].append((run.label, row["neighbours"]))
    yield from (query for query in queries.values() if len(query[1]) > 1)


def _backbone_names(runs: Sequence[ComparedRun], different: Sequence[Difference]) -> Iterator[str]:
    """Yield the name of each run's backbone, followed by its settings that differ between runs."""
    for number, run in enumerate(runs):
        settings = [
            f"{key} {texts[number]}"
            for section, key, texts in different
            if section == "backbone" and key != "name" and texts[number] != MISSING
        ]
        yield ", ".join([run.results["backbone"], *settings])


def _curves(run: ComparedRun, normalised: bool) -> dict[str, list[tuple[float, float]]]:
    """Return a run's training curves, keyed by column.

    If ``normalised`` is True, the loss is rescaled to the range from 0 to 1.
    """
    curves = read_curves(run.folder)
    if normalised and "loss" in curves:
        losses = [y for _, y in curves["loss"] if math.isfinite(y)]
        low, span = min(losses, default=0.0), max(losses, default=1.0) - min(losses, default=0.0)
        curves["loss"] = [(x, (y - low) / (span or 1.0)) for x, y in curves["loss"]]
    return curves


def _first_rows(rows: Iterator[FigureRow]) -> dict[str, FigureRow]:
    """Return the first row of each metric, keyed by metric name, in order of occurrence."""
    first: dict[str, FigureRow] = {}
    for row in rows:
        first.setdefault(row.name, row)
    return first


def _details(rows: Mapping[str, FigureRow]) -> dict[str, FigureRow]:
    """Return the metrics of evaluators with headlines that are not headlines themselves."""
    with_headline = {name.split(".")[0] for name, row in rows.items() if row.figure.headline}
    return {
        name: row
        for name, row in rows.items()
        if name.split(".")[0] in with_headline and not row.figure.headline
    }


def _baseline_rows(runs: Sequence[ComparedRun]) -> Iterator[BaselineRow]:
    """Yield, for each baseline, one row per group of runs that share its value."""
    titles = {key: label for run in runs for key, label in run.summary.baseline_labels.items()}
    for key, title in titles.items():
        groups: dict[tuple[str, ...], list[ComparedRun]] = {}
        for run in runs:
            if key in run.summary.baseline_labels:
                groups.setdefault(_settings_of_baseline(run, key), []).append(run)
        for group in groups.values():
            values = _mean_baselines(group, key)
            if values:
                labels = [run.label for run in group] if len(groups) > 1 else []
                yield BaselineRow(title, labels, str(group[0].results["data"]), values)


def _mean_baselines(runs: Sequence[ComparedRun], key: str) -> dict[str, str]:
    """Return a baseline's metrics averaged over the runs, as text, keyed by metric name."""
    rows = [row for run in runs for row in run.summary.rows if key in row.baselines]
    return {
        name: first.figure.format(fmean(row.baselines[key] for row in rows if row.name == name))
        for name, first in _first_rows(iter(rows)).items()
    }


def _settings_of_baseline(run: ComparedRun, name: str) -> tuple[str, ...]:
    """Return the settings of a run that affect a baseline, as text."""
    about = run.results.get("baselines", {}).get(name, {})
    sections = {f"baseline.{name}", *(["backbone"] if about.get("uses_backbone") else [])}
    component = run.config.components.get(f"baseline.{name}")
    if component is not None:
        sections |= component.sections_named()
    return tuple(
        f"{section}.{key}={value.text}"
        for (section, key), value in run.config.entries.items()
        if (section.split(".")[0] in IMAGE_SECTIONS or section in sections)
        and key not in ("num_workers", "cache_dir")
    )

"""One page that compares runs."""

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
from ssl_host.report.page import draw_charts, read_curves, read_json, render
from ssl_host.report.summary import (
    BASELINES,
    RANDOM_NETWORK,
    Row,
    accuracies,
    other_figures,
    per_cent,
)
from ssl_host.toolkit.atomic_io import atomic_write_text

SAME = {("run", "name"), ("run", "dir")}
"""Settings in which all runs differ, and that say nothing."""

MISSING = "–"
"""In the place of a setting that a run does not have."""

IMAGES = frozenset({"data", "loader", "evaluator"})
NETWORK = frozenset({"backbone"})
"""Sections that decide a baseline: of its images, and of its network where it has one."""

MAIN = frozenset({"rankme", "throughput.images_per_s"})
"""Figures that stand beside the accuracies; all others have a table of their own."""


PARTS_OF_BATCH = (("run", "batch_size"), ("trainer", "accumulate"))
"""What many a loss takes its other images from: at chance nt_xent of 2N views is log(2N - 1)."""


@dataclass(frozen=True)
class ComparedRun:
    """A finished run, as the page needs it.

    Attributes:
        label: how the page calls it, unlike any other.
        rows: its accuracies, by name.
    """

    label: str
    folder: Path
    results: Mapping[str, Any]
    config: RunConfig

    @property
    def objective(self) -> tuple[str, ...]:
        """What its loss is a number of."""
        return tuple(
            f"{section}.{key}={value.text}"
            for (section, key), value in self.config.entries.items()
            if (section, key) in PARTS_OF_BATCH
            or section in ("method", "loss")
            or section.startswith("head.")
        )

    @cached_property
    def rows(self) -> dict[str, Row]:
        return {row.name: row for row in accuracies(self.results["metrics"])}


def labels(folders: Sequence[Path]) -> list[str]:
    """Names of different folders, with as much of their paths as tells them apart."""
    absolute = [folder.resolve() for folder in folders]
    found = [path.name for path in absolute]
    depth = 1
    while len(set(found)) < len(found):
        depth += 1
        found = ["/".join(path.parts[-depth:]) for path in absolute]
    return found


def write_comparison(path: Path, runs: Sequence[ComparedRun]) -> Path:
    """Write the page: figures to sort, curves, what differs, the same queries' neighbours."""
    shapes = len({run.objective for run in runs}) > 1
    differ = list(differences(runs))
    measured = _union(other_figures(run.results["metrics"]) for run in runs)
    page = render(
        "compare.html",
        title=" · ".join(run.label for run in runs) if len(runs) < 4 else f"{len(runs)} runs",
        runs=runs,
        links=[
            quote(Path(os.path.relpath(run.folder / "report.html", path.parent)).as_posix())
            for run in runs
        ],
        figures=_union(run.rows for run in runs),
        main=[name for name in measured if name in MAIN],
        others=[name for name in measured if name not in MAIN],
        baselines=list(_baselines(runs)),
        charts=draw_charts({run.label: _curves(run, shapes) for run in runs}),
        shapes=shapes,
        differences=differ,
        backbones=list(_backbones(runs, differ)),
        queries=list(same_queries(runs)),
        other_figures=other_figures,
        positions={run.label: number for number, run in enumerate(runs)},
    )
    return atomic_write_text(path, page)


def differences(runs: Sequence[ComparedRun]) -> Iterator[tuple[str, str, list[str]]]:
    """Section, key and the value in each run, of every setting that is not the same in all."""
    shown = [run.config.entries for run in runs]
    for key in dict.fromkeys(key for values in shown for key in values):
        texts = [values[key].text if key in values else MISSING for values in shown]
        if key not in SAME and len(set(texts)) > 1:
            yield (*key, texts)


def same_queries(runs: Sequence[ComparedRun]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """A query's image, and of each run that was asked it the label and the neighbours."""
    asked: dict[str, tuple[dict[str, Any], list[Any]]] = {}
    for run in runs:
        for row in read_json(run.folder / "report.json").get("neighbours", []):
            asked.setdefault(row["image"], (row, []))[1].append((run.label, row["neighbours"]))
    yield from (found for found in asked.values() if len(found[1]) > 1)


def _backbones(
    runs: Sequence[ComparedRun], differ: Sequence[tuple[str, str, list[str]]]
) -> Iterator[str]:
    """A backbone's name with what tells it apart: one plugin has many models."""
    for number, run in enumerate(runs):
        settings = [
            f"{key} {texts[number]}"
            for section, key, texts in differ
            if section == "backbone" and key != "name" and texts[number] != MISSING
        ]
        yield ", ".join([run.results["backbone"], *settings])


def _curves(run: ComparedRun, shapes: bool) -> dict[str, list[tuple[float, float]]]:
    curves = read_curves(run.folder)
    if shapes and "loss" in curves:
        losses = [y for _, y in curves["loss"] if math.isfinite(y)]
        low, span = min(losses, default=0.0), max(losses, default=1.0) - min(losses, default=0.0)
        curves["loss"] = [(x, (y - low) / (span or 1.0)) for x, y in curves["loss"]]
    return curves


def _union(mappings: Any) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _baselines(runs: Sequence[ComparedRun]) -> Iterator[tuple[str, list[str], str, dict[str, str]]]:
    """What needs no training: means over runs that differ in nothing that decides it.

    The labels of these runs are left out where they are those of all.
    """
    for key, called in BASELINES.items():
        deciding = IMAGES | NETWORK if key == RANDOM_NETWORK else IMAGES
        groups: dict[tuple[str, ...], list[ComparedRun]] = {}
        for run in runs:
            groups.setdefault(_settings(run, deciding), []).append(run)
        for those in groups.values():
            of = [run.label for run in those] if len(groups) > 1 else []
            found: dict[str, list[float]] = {}
            for run in those:
                for name, row in run.rows.items():
                    if key in row.baselines:
                        found.setdefault(name, []).append(row.baselines[key])
            if found:
                values = {name: per_cent(fmean(v)) for name, v in found.items()}
                yield called, of, str(those[0].results["data"]), values


def _settings(run: ComparedRun, sections: frozenset[str]) -> tuple[str, ...]:
    return tuple(
        f"{section}.{key}={value.text}"
        for (section, key), value in run.config.entries.items()
        if section.split(".")[0] in sections and key not in ("num_workers", "cache_dir")
    )

"""Read a suite: one INI file that describes many runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_host import (
    Catalog,
    ConfigError,
    Problem,
    RunConfig,
    option_layer,
    read_ini_layer,
    resolve_layers,
    validate_section,
)
from ssl_plugin_benchmark.grid import Combination, SuiteGrid
from ssl_plugin_benchmark.published import PublishedResults, read_published
from ssl_plugin_benchmark.settings import SuiteSettings


@dataclass(frozen=True)
class SuiteRun:
    """One run of a suite.

    Attributes:
        name: name of the run and of its folder.
        combination: the run's instance on each axis of the grid.
        seed: random seed of the run.
        config: the complete, validated configuration of the run.
    """

    name: str
    combination: Combination
    seed: int
    config: RunConfig


@dataclass(frozen=True)
class Suite:
    """All runs that a suite file describes, and the columns of their table.

    Attributes:
        name: name of the suite and of its folder.
        folder: path of the folder that contains the run folders and the tables.
        runs: the runs, in the order of the table.
        jobs: number of runs to execute at the same time.
        columns: titles of the columns, keyed by metric name; an empty dict shows all metrics.
        published: published results of other projects, keyed by method.
    """

    name: str
    folder: Path
    runs: tuple[SuiteRun, ...]
    jobs: int
    columns: Mapping[str, str]
    published: Mapping[str, PublishedResults]


def is_suite(text: str) -> bool:
    """Return True if the text of a configuration file has a section ``[suite]``."""
    return bool(re.search(r"(?m)^\[suite\]", text))


def read_suite(path: Path, options: Sequence[str], catalog: Catalog) -> Suite:
    """Read a suite file and validate the configuration of every run.

    ``[suite]`` sets the methods, the preset and the seeds. A kind with a single section per run
    becomes an axis of the grid if the suite has sections for several instances: with
    ``[backbone.small]`` and ``[backbone.large]``, every method is run with both backbones.
    ``[vary.SECTION]`` lists several values of a setting, separated by commas; each is run.
    ``[published.METHOD]`` contains results of other projects. Every other section applies to all
    runs.

    Raises:
        ConfigError: if any run is invalid; the message lists every problem once.
    """
    layers = [read_ini_layer(path, "suite"), option_layer(options)]
    settings = validate_section("suite", SuiteSettings, layers, str(path))
    grid = SuiteGrid(path, layers, settings)
    combinations = grid.combinations()
    folder = settings.dir / (settings.name or path.stem)
    runs, problems = _resolve_runs(grid, combinations, folder, catalog)
    methods = {combination["method"] for combination in combinations}
    published, published_problems = read_published(layers[0], methods, catalog)
    problems += [*published_problems, *grid.ineffective_settings()]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return Suite(folder.name, folder, tuple(runs), settings.jobs, settings.titles(), published)


def _resolve_runs(
    grid: SuiteGrid, combinations: Sequence[Combination], folder: Path, catalog: Catalog
) -> tuple[list[SuiteRun], list[Problem]]:
    """Return the valid runs of a grid, and the problems of the invalid ones."""
    runs: list[SuiteRun] = []
    problems: list[Problem] = []
    owners: dict[str, Combination] = {}
    for combination, seed in itertools.product(combinations, grid.settings.seeds):
        name = _run_name(combination, seed)
        if name in owners:
            text = (
                f"{_describe(owners[name])} and {_describe(combination)} would share the folder "
                f"{name}; rename one of the sections"
            )
            problems.append(Problem(str(grid.path), text))
            continue
        owners[name] = combination
        try:
            layers = grid.layers_of(combination, seed, name, folder)
            config = resolve_layers(layers, catalog, name)
            runs.append(SuiteRun(name, combination, seed, config))
        except ConfigError as error:
            problems += error.problems
    return runs, problems


def _run_name(combination: Combination, seed: int) -> str:
    """Return the name of a run, such as ``simclr-batch_size64-seed0``."""
    choices = [
        axis.rpartition(".")[2] + choice if "." in axis else choice
        for axis, choice in combination.items()
    ]
    return "-".join([*choices, f"seed{seed}"])


def _describe(combination: Combination) -> str:
    """Return the sections and varied settings of a combination as text for an error message."""
    return " with ".join(
        f"[{axis.replace('.', '] ')} = {choice}" if "." in axis else f"[{axis}.{choice}]"
        for axis, choice in combination.items()
    )

"""Execution of a suite and the files that it writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ssl_host import RunFolder, count_parameters, preemptible
from ssl_plugin_benchmark.output import to_csv, to_html, to_json, to_markdown
from ssl_plugin_benchmark.runs import (
    RunOutcome,
    execute_runs,
    read_outcomes,
    refuse_changed_runs,
)
from ssl_plugin_benchmark.suite import Suite, SuiteRun
from ssl_plugin_benchmark.table import Table, make_table

STOPPED = "asked to stop: the runs in progress have stopped too; use the same command to resume"


@dataclass(frozen=True)
class Benchmark:
    """Outcomes of a suite's runs and the table made of them."""

    table: Table
    outcomes: tuple[RunOutcome, ...]

    @property
    def failed(self) -> list[SuiteRun]:
        """Runs without results."""
        return [outcome.run for outcome in self.outcomes if outcome.results is None]


def run_suite(
    suite: Suite, fresh: bool = False, report: Callable[[RunOutcome], None] = lambda _: None
) -> Benchmark:
    """Execute all runs that are not finished and write the table in every format.

    Args:
        fresh: start every run from scratch.
        report: called with each outcome as soon as it is known.

    Raises:
        RunFolderError: if another process uses the suite's folder or, unless ``fresh``, the folder
            holds runs with another configuration.
        Preempted: on SIGTERM or SIGUSR1, after the running processes have written checkpoints.
    """
    with preemptible(STOPPED), RunFolder(suite.folder, "suite") as folder:
        if not fresh:
            refuse_changed_runs(suite)
        return _write_table(suite, execute_runs(suite, fresh, report), folder)


def tabulate_suite(suite: Suite) -> Benchmark:
    """Write the table of the runs that are finished, without running anything."""
    with RunFolder(suite.folder, "suite") as folder:
        return _write_table(suite, read_outcomes(suite), folder)


def check_suite(suite: Suite) -> list[tuple[str, int]]:
    """Build the networks of every combination; return run names and trainable parameters.

    Reads no images, so that a suite for a larger machine can be checked anywhere. One run per
    combination is enough: the seed does not change a network's shape.
    """
    first_runs: dict[tuple[str, ...], SuiteRun] = {}
    for run in suite.runs:
        first_runs.setdefault(tuple(run.combination.values()), run)
    return [(run.name, count_parameters(run.config)) for run in first_runs.values()]


def _write_table(suite: Suite, outcomes: Sequence[RunOutcome], folder: RunFolder) -> Benchmark:
    table = make_table(suite, outcomes)
    folder.write_text("table.md", to_markdown(table))
    folder.write_text("table.csv", to_csv(table))
    folder.write_text("table.html", to_html(table))
    folder.write_text("benchmark.json", json.dumps(to_json(suite, outcomes), indent=1) + "\n")
    return Benchmark(table, tuple(outcomes))

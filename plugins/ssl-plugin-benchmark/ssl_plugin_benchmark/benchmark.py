"""Execute the runs of a suite and write its table."""

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

STOPPED = (
    "stop requested: the runs in progress have also stopped; run the same command again to resume"
)


@dataclass(frozen=True)
class Benchmark:
    """Outcomes of the runs of a suite, and the table made from them.

    Attributes:
        table: the table, which has also been written to the suite's folder.
        outcomes: the outcome of each run, in the order of the suite.
    """

    table: Table
    outcomes: tuple[RunOutcome, ...]

    @property
    def without_results(self) -> list[SuiteRun]:
        """Runs that failed, were not started, or have a different configuration in their folder."""
        return [outcome.run for outcome in self.outcomes if outcome.results is None]


def run_suite(
    suite: Suite, fresh: bool = False, report: Callable[[RunOutcome], None] = lambda _: None
) -> Benchmark:
    """Execute all unfinished runs of a suite and write its table in every format.

    Args:
        suite: the suite.
        fresh: True starts every run from scratch.
        report: function that is called with the outcome of each run as soon as it is known.

    Returns:
        The outcomes of all runs and the table; a failed run raises no error.

    Raises:
        RunFolderError: if another process uses the suite's folder or, unless ``fresh``, the
            folder contains runs with a different configuration.
        Preempted: on SIGTERM or SIGUSR1, after the running processes have written checkpoints.
    """
    with preemptible(STOPPED), RunFolder(suite.folder, "suite") as folder:
        if not fresh:
            refuse_changed_runs(suite)
        return _write_table(suite, execute_runs(suite, fresh, report), folder)


def tabulate_suite(suite: Suite) -> Benchmark:
    """Write the table of the finished runs of a suite, without running anything.

    Raises:
        RunFolderError: if another process uses the suite's folder.
    """
    with RunFolder(suite.folder, "suite") as folder:
        return _write_table(suite, read_outcomes(suite), folder)


def check_suite(suite: Suite) -> list[tuple[str, int]]:
    """Build the networks of every combination; return run names and numbers of parameters.

    Only trainable parameters are counted. No images are read, so a suite for a larger machine can
    be checked anywhere. Only one run per combination is checked, because the seed does not change
    the shape of a network.
    """
    first_runs: dict[tuple[str, ...], SuiteRun] = {}
    for run in suite.runs:
        first_runs.setdefault(tuple(run.combination.values()), run)
    return [(run.name, count_parameters(run.config)) for run in first_runs.values()]


def _write_table(suite: Suite, outcomes: Sequence[RunOutcome], folder: RunFolder) -> Benchmark:
    """Write table.md, table.csv, table.html and benchmark.json; return table and outcomes."""
    table = make_table(suite, outcomes)
    folder.write_text("table.md", to_markdown(table))
    folder.write_text("table.csv", to_csv(table))
    folder.write_text("table.html", to_html(table))
    folder.write_text("benchmark.json", json.dumps(to_json(table, outcomes), indent=1) + "\n")
    return Benchmark(table, tuple(outcomes))

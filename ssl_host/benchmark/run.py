"""A suite from its file to its table."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rich.console import Console

from ssl_host.benchmark.runs import Finished, read_cells, refuse_changed, run_cells
from ssl_host.benchmark.suite import Suite
from ssl_host.benchmark.table import Table, as_csv, as_html, as_json, make_table, markdown
from ssl_host.compose import compose
from ssl_host.run_folder.folder import RunFolder
from ssl_host.train.signals import preemptible

STOPPED = "asked to stop: the cells that ran have ended too; give the same command again to go on"


@dataclass(frozen=True)
class Compared:
    """What a suite has left.

    Attributes:
        failed: the cells that have no results.
    """

    table: Table
    finished: tuple[Finished, ...]

    @property
    def failed(self) -> list[Finished]:
        """The cells without results."""
        return [done for done in self.finished if done.results is None]


def run_suite(suite: Suite, console: Console, fresh: bool = False) -> Compared:
    """Run what is left to run, and write the table in every form.

    Raises:
        RunFolderError: when another process is in the suite's folder, or, unless ``fresh``, it
            holds runs of another configuration.
        Preempted: at a SIGTERM or SIGUSR1, when the cells that ran have written their state.
    """
    with preemptible(STOPPED), RunFolder(suite.folder, "suite") as folder:
        if not fresh:
            refuse_changed(suite)
        finished = run_cells(
            suite,
            fresh,
            lambda line: console.print(line, soft_wrap=True),
        )
        return _write(suite, finished, folder)


def table_of(suite: Suite) -> Compared:
    """Write the table of what there is, without running anything."""
    with RunFolder(suite.folder, "suite") as folder:
        return _write(suite, read_cells(suite), folder)


def check_cells(suite: Suite) -> list[tuple[str, int]]:
    """Build every combination's networks: names of the first cells and trainable parameters.

    Needs no data, so that a suite for a larger machine can be checked anywhere.
    """
    found = []
    for cell in {tuple(cell.choice.values()): cell for cell in reversed(suite.cells)}.values():
        method = compose(cell.config).method
        found.append((cell.name, sum(p.numel() for _, p in method.trainable_parameters())))
    return found[::-1]


def _write(suite: Suite, finished: list[Finished], folder: RunFolder) -> Compared:
    table = make_table(suite, finished)
    folder.write_text("table.md", markdown(table))
    folder.write_text("table.csv", as_csv(table))
    folder.write_text("table.html", as_html(table))
    folder.write_text("benchmark.json", json.dumps(as_json(suite, finished), indent=1) + "\n")
    return Compared(table, tuple(finished))

"""Execute the runs of a suite, each in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ssl_host import (
    Figure,
    FigureRow,
    RunFolder,
    RunFolderError,
    Summary,
    available_cores,
    summarize,
)
from ssl_plugin_benchmark.subprocesses import ProcessGroup
from ssl_plugin_benchmark.suite import Suite, SuiteRun


@dataclass(frozen=True)
class RunOutcome:
    """Results of a run, or the reason why there are none.

    Attributes:
        run: the run.
        results: content of ``results.json``; None if the run failed or was not started, or if its
            folder contains a run with a different configuration.
        error: reason why there are no results; not used if there are results.
        changed: True if the folder contains a run with a different configuration.
    """

    run: SuiteRun
    results: dict[str, Any] | None
    error: str = ""
    changed: bool = False

    @cached_property
    def summary(self) -> Summary | None:
        """The metrics of the run with their baselines; None if there are no results."""
        return None if self.results is None else summarize(self.results)

    def find(self, name: str) -> FigureRow | None:
        """Return a metric or another number in ``results.json`` as a row; None if missing."""
        if self.results is None or self.summary is None:
            return None
        value = self.results.get(name)
        if isinstance(value, int | float):
            return FigureRow(name, value, Figure("", higher_is_better=None))
        return self.summary.find(name)


def execute_runs(
    suite: Suite, fresh: bool, report: Callable[[RunOutcome], None]
) -> list[RunOutcome]:
    """Execute or resume every run; a run that fails does not affect the others.

    Each run is a separate process: its memory is released when it ends, and a crash affects no
    other run. ``jobs`` processes run at the same time. If this process is interrupted, all
    running processes write a checkpoint and stop.

    Args:
        suite: the suite.
        fresh: True starts every run from scratch.
        report: function that is called with the outcome of each run as soon as it is known.

    Returns:
        The outcome of each run, in the order of the suite.
    """
    processes = ProcessGroup(_thread_limit(suite))
    (suite.folder / "logs").mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, RunOutcome] = {}
    with ThreadPoolExecutor(max_workers=suite.jobs) as pool:
        futures = [pool.submit(_execute, suite, run, fresh, processes) for run in suite.runs]
        try:
            for future in as_completed(futures):
                outcome = future.result()
                outcomes[outcome.run.name] = outcome
                report(outcome)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.stop()
            raise
    return [outcomes[run.name] for run in suite.runs]


def read_outcomes(suite: Suite) -> list[RunOutcome]:
    """Return the outcome of every run from its folder, without running anything."""
    return [_read_outcome(RunFolder(suite.folder / run.name), run) for run in suite.runs]


def log_path(suite: Suite, run: SuiteRun) -> Path:
    """Return the path of a run's log file."""
    return suite.folder / "logs" / f"{run.name}.log"


def refuse_changed_runs(suite: Suite) -> None:
    """Raise an error if the suite's folder contains runs with a different configuration.

    Raises:
        RunFolderError: if there are such runs; the message lists them and the changed keys.
    """
    names: dict[str, list[str]] = {}
    for outcome in read_outcomes(suite):
        if outcome.changed:
            names.setdefault(outcome.error, []).append(outcome.run.name)
    if names:
        listing = "\n".join(f"  {', '.join(runs)}: {error}" for error, runs in names.items())
        raise RunFolderError(
            f"{suite.folder} contains runs whose configuration differs from the current one:\n"
            f"{listing}\n"
            "give the suite a different name with -o suite.name=..., or a different folder with "
            "-o suite.dir=..., or use --fresh to start every run from scratch (the old runs are "
            "renamed, not deleted)"
        )


def _read_outcome(folder: RunFolder, run: SuiteRun) -> RunOutcome:
    """Return the outcome of a run, read from its folder."""
    try:
        changes = folder.diff(run.config)
    except RunFolderError as error:
        return RunOutcome(run, None, str(error))
    if changes:
        return RunOutcome(run, None, f"different configuration: {'; '.join(changes)}", changed=True)
    return RunOutcome(run, folder.results(), "not run")


def _execute(suite: Suite, run: SuiteRun, fresh: bool, processes: ProcessGroup) -> RunOutcome:
    """Execute one run in a new process and return its outcome."""
    config_file = suite.folder / "logs" / f"{run.name}.ini"
    config_file.write_text(run.config.to_ini(), encoding="utf-8")
    command = [sys.executable, "-m", "ssl_host", "run", str(config_file), "--json"]
    log_file = log_path(suite, run)
    # Append, to keep the messages from before a resume; an old process may still be writing.
    with log_file.open("a", encoding="utf-8") as log:
        process = processes.run([*command, *(["--fresh"] if fresh else [])], log)
    results = RunFolder(suite.folder / run.name).results()
    if process.returncode == 0 and results is not None:
        return RunOutcome(run, results)
    return RunOutcome(run, None, f"{_failure_reason(process)}\nthe log is in {log_file}")


def _thread_limit(suite: Suite) -> dict[str, str]:
    """Return environment variables that divide the CPU cores among concurrent runs.

    The configurations keep ``num_threads = auto``, so changing ``jobs`` does not change them.
    """
    if suite.jobs == 1:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, available_cores() // suite.jobs))}


def _failure_reason(process: subprocess.CompletedProcess[str]) -> str:
    """Return the error that a run printed as JSON, or else its exit status."""
    try:
        return str(json.loads(process.stdout)["error"])
    except (ValueError, KeyError, TypeError):  # no JSON: the process crashed or was killed
        return f"the process ended with exit status {process.returncode}"

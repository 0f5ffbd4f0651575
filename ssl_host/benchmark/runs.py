"""Running the cells of a suite, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_host.benchmark.subprocesses import Children
from ssl_host.benchmark.suite import Cell, Suite
from ssl_host.errors import RunFolderError
from ssl_host.run_folder.folder import RunFolder
from ssl_host.toolkit.cores import available_cores


@dataclass(frozen=True)
class Finished:
    """What has become of a cell.

    Attributes:
        results: what its ``results.json`` holds; None where it failed or is left out.
        fault: why; of one that failed, as the run has told it.
        changed: whether its folder holds a run of another configuration.
    """

    cell: Cell
    results: dict[str, Any] | None
    fault: str = ""
    changed: bool = False


def run_cells(suite: Suite, fresh: bool, tell: Callable[[str], None]) -> list[Finished]:
    """Run every cell, or go on with it; one that fails takes no other down.

    A process each: memory is given back, a crash stays where it happened, and ``jobs`` of them
    share the processor's cores. They end with this one, after a checkpoint.
    """
    children = Children(_shares(suite))
    (suite.folder / "cells").mkdir(parents=True, exist_ok=True)
    finished: dict[str, Finished] = {}
    with ThreadPoolExecutor(max_workers=suite.jobs) as pool:
        waiting = [pool.submit(_run, suite, cell, fresh, children) for cell in suite.cells]
        try:
            for number, future in enumerate(as_completed(waiting), 1):
                done = future.result()
                finished[done.cell.name] = done
                tell(f"[{number}/{len(suite.cells)}] {done.cell.name}: {_in_short(done)}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            raise
    return [finished[cell.name] for cell in suite.cells]


def read_cells(suite: Suite) -> list[Finished]:
    """What the folders of the cells hold, without running anything."""
    return [_read(RunFolder(suite.folder / cell.name), cell) for cell in suite.cells]


def log_of(suite: Suite, cell: Cell) -> Path:
    """The file that keeps what a cell's processes have told."""
    return suite.folder / "cells" / f"{cell.name}.log"


def refuse_changed(suite: Suite) -> None:
    """Look before anything is started whether the cells that have run are still the suite's.

    Raises:
        RunFolderError: when some are not; it lists their changed keys.
    """
    found: dict[str, list[str]] = {}
    for done in read_cells(suite):
        if done.changed:
            found.setdefault(done.fault, []).append(done.cell.name)
    if found:
        listing = "\n".join(f"  {', '.join(names)}: {fault}" for fault, names in found.items())
        raise RunFolderError(
            f"{suite.folder} holds runs that are not those of the suite as it is now:\n{listing}\n"
            "give the suite another name with -o suite.name=..., or another folder with "
            "-o suite.dir=..., or use --fresh to begin every cell anew (the old runs are moved "
            "aside)"
        )


def _read(folder: RunFolder, cell: Cell) -> Finished:
    try:
        changes = folder.diff(cell.config)
    except RunFolderError as error:
        return Finished(cell, None, str(error))
    if changes:
        return Finished(cell, None, f"of another configuration: {'; '.join(changes)}", changed=True)
    return Finished(cell, folder.results(), "not run")


def _run(suite: Suite, cell: Cell, fresh: bool, children: Children) -> Finished:
    file = suite.folder / "cells" / f"{cell.name}.ini"
    file.write_text(cell.config.to_ini(), encoding="utf-8")
    command = [sys.executable, "-m", "ssl_host", "run", str(file), "--json"]
    log = log_of(suite, cell)
    # What an earlier process has told stays, and one that still runs writes behind it.
    with log.open("a", encoding="utf-8") as written:
        done = children.run([*command, *(["--fresh"] if fresh else [])], written)
    results = RunFolder(suite.folder / cell.name).results()
    if done.returncode == 0 and results is not None:
        return Finished(cell, results)
    return Finished(cell, None, f"{_reason(done)}\nall of it is in {log}")


def _shares(suite: Suite) -> dict[str, str]:
    """Several runs at once share the cores, unless the suite says otherwise.

    Their configurations stay ``auto``, so that ``jobs`` changes none.
    """
    threads = max(1, available_cores() // suite.jobs)
    return {"OMP_NUM_THREADS": str(threads)} if suite.jobs > 1 else {}


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    try:
        return str(json.loads(done.stdout)["error"])
    except (ValueError, KeyError, TypeError):  # it crashed, or was killed
        return f"the process ended with status {done.returncode}"


def _in_short(done: Finished) -> str:
    if done.results is None:
        return f"FAILED: {done.fault}"
    metrics = done.results["metrics"]
    shown = [
        f"{name} {100 * metrics[name]:.1f}"
        for name in ("online.top1", "few_label.10.top1", "knn.top1", "linear.top1")
        if metrics.get(name) is not None
    ]
    return ", ".join([*shown, f"{done.results['wall_time_s']:.0f} s"])

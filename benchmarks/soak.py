"""Kills runs at random moments and holds each to its uninterrupted twin, bit by bit.

    python benchmarks/soak.py [--kills 100] [--seed 0] [--methods simclr,byol]

Every method in turn: a run that is left alone, then the same run killed with SIGKILL, several
times in a row, until it has been killed often enough or is done. At the end weights, rows and
figures must be the twin's. Writes benchmarks/results/soak.json and soak.md when all six methods
were run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
METHODS = ("simclr", "simsiam", "barlowtwins", "nnclr", "byol", "mocov2")
IN_A_ROW = 7
STARTING = 0.1
"""Part of the kills that hit at any time from the beginning of the process."""
WRITING = 0.25
"""Part of them that wait for a checkpoint to be half written."""
SHARE = 0.25
"""The longest that a process works before it is killed, as a part of an undisturbed run."""
CONFIG = """
[run]
name = {name}
epochs = 150
batch_size = 16
seed = 1
[data]
name = synthetic
num_images = 80
num_test = 40
image_size = 16
[method]
name = {method}
{queue}
[backbone]
name = small_conv
width = 8
num_stages = 3
[head.projector]
hidden_dim = 32
output_dim = 16
{predictor}
[optimizer]
name = sgd
lr = 0.05
[scheduler]
warmup_epochs = 0
[checkpoint]
every_minutes = 0.001
[trainer]
num_threads = 1
log_every = 1
[evaluator.few_label]
[evaluator.linear]
[evaluator.rankme]
"""


@dataclass
class Tally:
    """What happened to one method's runs."""

    method: str
    runs: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    different: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Kills, wherever they hit."""
        return sum(self.kills.values())


def write_config(folder: Path, method: str, name: str) -> Path:
    """The INI of one run."""
    file = folder / f"{name}.ini"
    queue = "queue_size = 40" if method in ("nnclr", "mocov2") else ""
    predictor = method in ("simsiam", "nnclr", "byol")
    text = CONFIG.format(
        name=name,
        method=method,
        queue=queue,
        predictor="[head.predictor]\nhidden_dim = 16" if predictor else "",
    )
    file.write_text(text, encoding="utf-8")
    return file


class Running:
    """The real command, in a process of its own, watched by what it writes."""

    def __init__(self, file: Path) -> None:
        self.folder = file.parent / "runs" / file.stem
        self.told = file.with_suffix(".log")
        self.rows_before = self.rows()
        self.torn_before = self.partials()
        with self.told.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ssl_host", "run", str(file)],
                cwd=file.parent,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def rows(self) -> int:
        """Rows of ``metrics.csv``."""
        table = self.folder / "metrics.csv"
        return table.read_text("utf-8").count("\n") if table.exists() else 0

    def partials(self) -> set[Path]:
        """Checkpoints that are half written."""
        return set((self.folder / "checkpoints").glob("*.partial"))

    def wait_for_checkpoint(self) -> None:
        """Until one is being written, or there will be none any more."""
        while self.process.poll() is None and self.place() in ("starting", "training"):
            pass

    def place(self) -> str:
        """What the process is doing, by what it has written."""
        if self.partials() - self.torn_before:
            return "writing a checkpoint"
        if "measuring" in self.told.read_text("utf-8"):
            return "evaluating"
        # Going on begins by writing the rows up to the checkpoint again, perhaps one fewer.
        return "training" if self.rows() > self.rows_before else "starting"

    def wait_for_work(self) -> None:
        """Until it trains or evaluates, or has ended."""
        while self.process.poll() is None and self.place() == "starting":
            time.sleep(0.005)

    def kill(self) -> str:
        """End it by SIGKILL; returns where it was hit."""
        self.process.send_signal(signal.SIGSTOP)  # to look at it as it will be left
        hit = self.place()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return hit

    def finish(self) -> None:
        """Until it is done.

        Raises:
            RuntimeError: when the run failed.
        """
        if self.process.wait() != 0:
            raise RuntimeError(self.told.read_text("utf-8"))


def outcome(folder: Path) -> dict[str, str]:
    """Everything that must be equal, by name."""
    results = json.loads((folder / "results.json").read_text("utf-8"))
    figures = {
        name: value
        for name, value in results["metrics"].items()
        if not name.startswith(("throughput", "peak"))
    }
    found = {"figures": json.dumps(figures, sort_keys=True), "steps": str(results["steps"])}
    for name in ("backbone.safetensors", "linear.safetensors", "metrics.csv"):
        found[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return found


def soak(method: str, kills: int, place: Path, chance: random.Random) -> Tally:
    """Runs of one method, killed until the count is reached."""
    tally = Tally(method)
    begun = time.monotonic()
    twin = Running(write_config(place, method, f"{method}-twin"))
    twin.wait_for_work()
    ready = time.monotonic() - begun
    twin.finish()
    work = time.monotonic() - begun - ready
    expected = outcome(twin.folder)
    while tally.total < kills:
        file = write_config(place, method, f"{method}-{tally.runs}")
        tally.runs += 1
        for _ in range(IN_A_ROW):
            running = Running(file)
            kind = chance.random()
            if kind < STARTING:
                time.sleep(chance.uniform(0, ready))
            elif kind < STARTING + WRITING:
                running.wait_for_work()
                time.sleep(chance.uniform(0, SHARE * work))
                running.wait_for_checkpoint()
            else:
                running.wait_for_work()
                time.sleep(chance.uniform(0, SHARE * work))
            if running.process.poll() is not None or tally.total >= kills:
                break
            hit = running.kill()
            tally.kills[hit] = tally.kills.get(hit, 0) + 1
        running.process.wait()
        last = Running(file)
        last.finish()
        found = outcome(last.folder)
        tally.different += [
            f"{file.stem}: {key}" for key in expected if expected[key] != found[key]
        ]
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", default=",".join(METHODS))
    arguments = parser.parse_args()
    methods = arguments.methods.split(",")
    chance = random.Random(arguments.seed)
    tallies = []
    with tempfile.TemporaryDirectory() as place:
        for number, method in enumerate(methods):
            left = arguments.kills - sum(t.total for t in tallies)
            tallies.append(soak(method, -(-left // (len(methods) - number)), Path(place), chance))
            print(tallies[-1], flush=True)
    places = list(dict.fromkeys(hit for tally in tallies for hit in tally.kills))
    lines = [
        f"| method | runs | kills | {' | '.join(places)} | different from the twin |",
        "|---|" + "---:|" * (3 + len(places)),
        *(
            f"| {t.method} | {t.runs} | {t.total} | "
            f"{' | '.join(str(t.kills.get(hit, 0)) for hit in places)} | {len(t.different)} |"
            for t in tallies
        ),
    ]
    print("\n".join(lines))
    if set(methods) == set(METHODS):
        raw = [vars(t) for t in tallies]
        (RESULTS / "soak.json").write_text(json.dumps(raw, indent=1) + "\n", "utf-8")
        (RESULTS / "soak.md").write_text("\n".join(lines) + "\n", "utf-8")
    if any(tally.different for tally in tallies):
        sys.exit(f"not bit-equal: {[d for t in tallies for d in t.different]}")


if __name__ == "__main__":
    main()

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
CONFIG = """
[run]
name = {name}
epochs = 12
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


def start(file: Path) -> subprocess.Popen:
    """The real command, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ssl_host", "run", str(file)],
        cwd=file.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


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


def where(folder: Path) -> str:
    """What a process was doing when it was killed, by what it left."""
    if list(folder.glob("checkpoints/*.partial")):
        return "writing a checkpoint"
    rows = folder / "metrics.csv"
    written = rows.read_text("utf-8").count("\n") - 1 if rows.exists() else 0
    if written <= 0:
        return "before the first step"
    return "training" if written < 12 * 5 else "evaluation"


def soak(method: str, kills: int, place: Path, chance: random.Random) -> Tally:
    """Runs of one method, killed until the count is reached."""
    tally = Tally(method)
    begun = time.monotonic()
    twin = start(write_config(place, method, f"{method}-twin"))
    first = begun
    rows = place / "runs" / f"{method}-twin" / "metrics.csv"
    while twin.poll() is None:
        if first == begun and rows.exists() and rows.read_text("utf-8").count("\n") > 1:
            first = time.monotonic()
        time.sleep(0.02)
    assert twin.returncode == 0, twin.stderr.read()
    ready, whole = first - begun, time.monotonic() - begun
    expected = outcome(place / "runs" / f"{method}-twin")
    while tally.total < kills:
        name = f"{method}-{tally.runs}"
        file = write_config(place, method, name)
        tally.runs += 1
        for _ in range(IN_A_ROW):
            running = start(file)
            try:
                running.wait(timeout=chance.uniform(0.9 * ready, whole))
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
                running.wait()
                hit = where(place / "runs" / name)
                tally.kills[hit] = tally.kills.get(hit, 0) + 1
            if running.returncode == 0 or tally.total >= kills:
                break
        last = start(file)
        _, told = last.communicate()
        assert last.returncode == 0, told
        found = outcome(place / "runs" / name)
        tally.different += [f"{name}: {key}" for key in expected if expected[key] != found[key]]
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

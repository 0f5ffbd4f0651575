"""Kills runs at random moments and compares each with an uninterrupted run, bit by bit.

    python benchmarks/soak.py [--kills 100] [--seed 0] [--methods simclr,byol]

For each method: a run without interruption, then the same run killed with SIGKILL several times
in a row and resumed until it is finished. At the end its weights, rows and metrics must be equal
to those of the uninterrupted run; for ``early stop`` also the weights of the best epoch and the
epoch at which the run stopped. Writes benchmarks/results/soak.json and soak.md after a run of all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from ssl_host.testing.command_process import CommandProcess

RESULTS = Path(__file__).parent / "results"
PREDICTOR = {
    "head.projector": {"hidden_dim": 32, "output_dim": 16},
    "head.predictor": {"hidden_dim": 16},
}
PROJECTOR = {"head.projector": {"hidden_dim": 32, "output_dim": 16}}
PROTOTYPES = {"head.projector": {"hidden_dim": 32, "bottleneck_dim": 16, "output_dim": 32}}
TRANSFORMER = {"backbone": {"name": "timm", "model": "test_vit", "patch_size": 4, "depth": 2}}
SMALL_VIEWS = {"augmentation": {"num_local": 2, "local_size": 8}}
METHODS = {
    "simclr": PROJECTOR,
    "simsiam": PREDICTOR,
    "barlowtwins": PROJECTOR,
    "nnclr": {"method": {"queue_size": 40}, **PREDICTOR},
    "byol": PREDICTOR,
    "mocov2": {"method": {"queue_size": 40}, **PROJECTOR},
    "dino": {**PROTOTYPES, **SMALL_VIEWS},
    "ibot": {"method": {"min_block": 2}, **PROTOTYPES, **SMALL_VIEWS, **TRANSFORMER},
    "dinov2": {"method": {"min_block": 2}, **PROTOTYPES, **SMALL_VIEWS, **TRANSFORMER},
    "mae": {
        "method": {"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2},
        **TRANSFORMER,
    },
    "simmim": {"method": {"mask_cell": 1}, **TRANSFORMER},
    "ijepa": {
        "method": {
            "num_targets": 2,
            "predictor_dim": 16,
            "predictor_depth": 1,
            "predictor_heads": 2,
        },
        **TRANSFORMER,
    },
    "data2vec": {"method": {"num_blocks": 1, "min_block": 2}, **TRANSFORMER},
    "mocov3": PREDICTOR,
    "deepclusterv2": {"method": {"num_clusters": 6}, **PROJECTOR, **SMALL_VIEWS},
    "distill": {
        "method": {"queue_size": 40},
        "backbone.teacher": {"name": "small_conv", "width": 8, "num_stages": 2},
    },
    "vicreg": PROJECTOR,
    "vibcreg": {"head.projector": {**PROJECTOR["head.projector"], "num_groups": 4}},
    "swav": {
        "method": {"num_prototypes": 12, "queue_size": 40, "queue_start_epoch": 1},
        **PROJECTOR,
        **SMALL_VIEWS,
    },
    "dcl": PROJECTOR,
    "dclw": PROJECTOR,
    "supcon": PROJECTOR,
    "wmse": {"head.projector": {"hidden_dim": 32, "output_dim": 4}},
    "ressl": {"method": {"queue_size": 40}, **PROJECTOR},
    "nnsiam": {"method": {"queue_size": 40}, **PREDICTOR},
    "nnbyol": {"method": {"queue_size": 40}, **PREDICTOR},
    "all4one": {"method": {"queue_size": 40, "predictor_dim": 16}, **PROJECTOR},
    "tico": PROJECTOR,
    "msn": {"method": {"num_prototypes": 12}, **PROJECTOR, **SMALL_VIEWS, **TRANSFORMER},
    "lejepa": {**PROJECTOR, **SMALL_VIEWS, "loss": {"num_directions": 16}},
    "early stop": {
        "run": {"epochs": 60, "batch_size": 256, "stop_early": "knn.top1", "patience": 4},
        "method": {"name": "simclr"},
        "data": {"name": "mnist5k"},
        "evaluate": {"every_epochs": 1, "evaluators": "[knn, rankme]"},
        "checkpoint": {"best": "knn.top1", "every_minutes": 0.001},
        "evaluator.knn": {},
        "evaluator.rankme": {},
        "evaluator.linear": {"epochs": 5},
        **PROJECTOR,
    },
}
"""Settings of a small run of each method; a section replaces that of :data:`CONFIG`."""
KILLS_IN_A_ROW = 7
STARTING_FRACTION = 0.1
"""Fraction of the kills that hit at any time after the start of the process."""
WRITING_FRACTION = 0.25
"""Fraction of the kills that wait until a checkpoint is half written."""
LONGEST_FRACTION = 0.25
"""Longest time before a kill, as a fraction of the time of an uninterrupted run."""
CONFIG: dict[str, dict[str, object]] = {
    "run": {"epochs": 150, "batch_size": 16},
    "data": {"name": "synthetic", "num_images": 80, "num_test": 40, "image_size": 16},
    "backbone": {"name": "small_conv", "width": 8, "num_stages": 3},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "scheduler": {"warmup_epochs": 0},
    "checkpoint": {"every_minutes": 0.001},
    "trainer": {"num_threads": 1, "log_every": 1},
    "evaluator.few_label": {},
    "evaluator.linear": {},
    "evaluator.rankme": {},
}


@dataclass
class Tally:
    """Runs, kills and differences of one method."""

    method: str
    runs: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    different: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Number of kills in all phases."""
        return sum(self.kills.values())


def write_config(folder: Path, method: str, name: str) -> Path:
    """Write the INI file of one run and return its path."""
    file = folder / f"{name}.ini"
    sections = {**CONFIG, **METHODS[method]}
    sections["run"] = {**sections["run"], "name": name, "seed": 1}
    sections["method"] = {"name": method, **sections.get("method", {})}
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


class RunProcess:
    """The real command in a separate process, observed by what it writes."""

    def __init__(self, file: Path) -> None:
        self.folder = file.parent / "runs" / file.stem
        self.log_file = file.with_suffix(".log")
        self.rows_before = self.rows()
        self.partials_before = self.partials()
        self.log_file.write_text("", encoding="utf-8")
        self.process = CommandProcess(
            ["run", str(file)],
            stdout=Path(os.devnull),
            stderr=self.log_file,
            cwd=file.parent,
            environment={"OMP_NUM_THREADS": "1"},
        )

    def rows(self) -> int:
        """Return the number of rows of ``metrics.csv``."""
        table = self.folder / "metrics.csv"
        return table.read_text("utf-8").count("\n") if table.exists() else 0

    def partials(self) -> set[Path]:
        """Return the checkpoints that are half written."""
        return set((self.folder / "checkpoints").glob("*.partial"))

    def wait_for_checkpoint(self) -> None:
        """Wait until a checkpoint is being written, or the training is over."""
        while self.process.poll() is None and self.phase() in ("starting", "training"):
            time.sleep(0.0005)

    def phase(self) -> str:
        """Return what the process is doing, judged by what it has written."""
        if self.partials() - self.partials_before:
            return "writing a checkpoint"
        if "evaluating:" in self.log_file.read_text("utf-8"):
            return "evaluating"
        # A resumed run first writes the rows up to the checkpoint again, perhaps one fewer.
        return "training" if self.rows() > self.rows_before else "starting"

    def wait_for_work(self) -> None:
        """Wait until the process trains or evaluates, or has ended."""
        while self.process.poll() is None and self.phase() == "starting":
            time.sleep(0.005)

    def kill(self) -> str:
        """Kill the process and return the phase that it was in."""
        self.process.send_signal(signal.SIGSTOP)  # so that the phase cannot change before the kill
        phase = self.phase()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return phase

    def finish(self) -> None:
        """Wait for the end of the process.

        Raises:
            RuntimeError: if the run failed.
        """
        if self.process.wait() != 0:
            raise RuntimeError(self.log_file.read_text("utf-8"))


def outcome(folder: Path) -> dict[str, str]:
    """Return everything that must be equal, by name."""
    results = json.loads((folder / "results.json").read_text("utf-8"))
    metrics = {
        name: value
        for name, value in results["metrics"].items()
        if not name.startswith(("throughput", "peak"))
    }
    values = {"metrics": json.dumps(metrics, sort_keys=True)}
    values |= {key: json.dumps(results.get(key)) for key in ("steps", "epochs", "best")}
    names = ["backbone.safetensors", "linear.safetensors", "metrics.csv"]
    if (folder / "best").exists():
        names.append("best/backbone.safetensors")
    for name in names:
        values[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return values


def soak(method: str, kills: int, folder: Path, rng: random.Random) -> Tally:
    """Run one method repeatedly until the number of kills is reached."""
    tally = Tally(method)
    start = time.monotonic()
    reference = RunProcess(write_config(folder, method, f"{method}-reference"))
    reference.wait_for_work()
    startup_s = time.monotonic() - start
    reference.finish()
    work_s = time.monotonic() - start - startup_s
    expected = outcome(reference.folder)
    while tally.total < kills:
        file = write_config(folder, method, f"{method}-{tally.runs}")
        tally.runs += 1
        for _ in range(KILLS_IN_A_ROW):
            process = RunProcess(file)
            kind = rng.random()
            if kind < STARTING_FRACTION:
                time.sleep(rng.uniform(0, startup_s))
            elif kind < STARTING_FRACTION + WRITING_FRACTION:
                process.wait_for_work()
                time.sleep(rng.uniform(0, LONGEST_FRACTION * work_s))
                process.wait_for_checkpoint()
            else:
                process.wait_for_work()
                time.sleep(rng.uniform(0, LONGEST_FRACTION * work_s))
            if process.process.poll() is not None or tally.total >= kills:
                break
            phase = process.kill()
            tally.kills[phase] = tally.kills.get(phase, 0) + 1
        process.process.wait()
        last = RunProcess(file)
        last.finish()
        actual = outcome(last.folder)
        tally.different += [
            f"{file.stem}: {key}" for key in expected if expected[key] != actual[key]
        ]
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", default=",".join(METHODS))
    arguments = parser.parse_args()
    methods = arguments.methods.split(",")
    rng = random.Random(arguments.seed)
    tallies = []
    with tempfile.TemporaryDirectory() as folder:
        for number, method in enumerate(methods):
            remaining = arguments.kills - sum(t.total for t in tallies)
            kills = -(-remaining // (len(methods) - number))
            tallies.append(soak(method, kills, Path(folder), rng))
            print(tallies[-1], flush=True)
    phases = list(dict.fromkeys(phase for tally in tallies for phase in tally.kills))
    lines = [
        f"| method | runs | kills | {' | '.join(phases)} | differences |",
        "|---|" + "---:|" * (3 + len(phases)),
        *(
            f"| {t.method} | {t.runs} | {t.total} | "
            f"{' | '.join(str(t.kills.get(phase, 0)) for phase in phases)} | {len(t.different)} |"
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

"""Trains candidates for a recipe and writes their figures, one row for each run.

    python benchmarks/recipes/sweep.py benchmarks/recipes/mnist5k.txt [--seeds 0,1,2] [--jobs 2]

A line of the file is a name, a colon, a configuration or preset, and settings that differ:

    mae-high-rate: mae/mnist5k optimizer.lr=0.004 run.epochs=50

A run that has finished is not repeated, so a sweep that was interrupted can be started again. The
rows are in DIR/results.jsonl, and a line for each is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVALUATORS = ("few_label", "knn", "linear", "rankme")
COLUMNS = ("linear.top1", "knn.top1", "few_label.10.top1", "finetune.top1", "rankme")


@dataclass(frozen=True)
class Candidate:
    """A recipe to try: the configuration that it extends, and the settings that differ."""

    name: str
    base: str
    settings: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> Candidate:
        name, separator, rest = line.partition(":")
        if not separator or not rest.split():
            raise SystemExit(f"{line!r}: expected NAME: PRESET section.key=value ...")
        base, *settings = rest.split()
        return cls(name.strip(), base, tuple(settings))

    def write(self, path: Path, seed: int, evaluators: tuple[str, ...]) -> None:
        """Write the configuration of one run."""
        sections: dict[str, dict[str, str]] = {"run": {"seed": str(seed)}}
        for setting in self.settings:
            key, _, value = setting.partition("=")
            section, _, name = key.rpartition(".")
            sections.setdefault(section, {})[name] = value
        for name in evaluators:
            sections.setdefault(f"evaluator.{name}", {})
        sections["run"] |= {"extends": self.base, "dir": str(path.parent), "name": path.stem}
        lines: list[str] = []
        for section, values in sections.items():
            lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items()), ""]
        path.write_text("\n".join(lines) + "\n")


def run(candidate: Candidate, seed: int, folder: Path, options: argparse.Namespace) -> dict:
    """Train one candidate, unless it has finished, and return its row."""
    config = folder / f"{candidate.name}-{seed}.ini"
    results = folder / config.stem / "results.json"
    row: dict[str, Any] = {"name": candidate.name, "seed": seed, "base": candidate.base}
    row["settings"] = list(candidate.settings)
    if not results.is_file():
        candidate.write(config, seed, tuple(options.evaluators.split(",")))
        environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        command = [sys.executable, "-m", "ssl_host", "run", str(config)]
        with (folder / f"{config.stem}.log").open("w") as log:
            try:
                subprocess.run(
                    command,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    timeout=max(1, options.deadline - time.monotonic()),
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return row | {"error": "stopped at the time limit"}
    if not results.is_file():
        last = (folder / f"{config.stem}.log").read_text(errors="replace").strip().splitlines()
        return row | {"error": " ".join(last[-3:])}
    return row | figures(json.loads(results.read_text()))


def figures(results: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a run, and the best of its baselines, from results.json."""
    metrics = results["metrics"]
    row: dict[str, Any] = {"epochs": results["epochs"], "wall_time_s": results["wall_time_s"]}
    for column in COLUMNS:
        if column in metrics:
            row[column] = metrics[column]
        baselines = [value for key, value in metrics.items() if key.endswith(f".{column}")]
        if baselines:
            row[f"best_baseline.{column}"] = max(baselines)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("candidates", type=Path)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dir", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--evaluators", default=",".join(EVALUATORS))
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds for the sweep")
    options = parser.parse_args()
    options.deadline = time.monotonic() + options.limit
    folder = options.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line.strip() for line in options.candidates.read_text().splitlines()]
    candidates = [Candidate.parse(line) for line in lines if line and not line.startswith("#")]
    jobs = [(c, int(seed)) for seed in options.seeds.split(",") for c in candidates]
    with ThreadPoolExecutor(options.jobs) as pool, (folder / "results.jsonl").open("a") as file:
        for row in pool.map(lambda job: run(*job, folder, options), jobs):
            print(json.dumps(row), file=file, flush=True)
            shown = " ".join(f"{c} {row[c]:.3f}" for c in COLUMNS if c in row)
            print(row["name"], row["seed"], shown or row.get("error"), flush=True)


if __name__ == "__main__":
    main()

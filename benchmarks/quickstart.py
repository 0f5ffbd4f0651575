"""Runs the quickstart with three seeds, and the first seed again, to check reproducibility.

    python benchmarks/quickstart.py [--without-avx512] [--epochs N]

Writes benchmarks/results/quickstart.json and quickstart.md; options are part of the names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
METRICS = ("few_label.10.top1", "linear.top1", "knn.top1", "online.top1")
RESOURCES = ("throughput", "peak")


def run(seed: int, folder: Path, slow: bool, epochs: int | None) -> dict:
    env = dict(os.environ)
    options = [f"run.seed={seed}", f"run.dir={folder}"]
    options += [f"run.epochs={epochs}"] if epochs else []
    if slow:
        env |= {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
        options.append("trainer.precision=32-true")  # what auto chooses on such a machine
    command = [sys.executable, "-m", "ssl_host", "run", str(ROOT / "examples" / "quickstart.ini")]
    command += [word for option in options for word in ("-o", option)]
    process = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, env=env, check=True
    )
    return json.loads(process.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without-avx512", action="store_true")
    parser.add_argument("--epochs", type=int, help="number of epochs, instead of the file's")
    arguments = parser.parse_args()
    slow, epochs = arguments.without_avx512, arguments.epochs
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate((0, 1, 2, 0)):
            runs.append(run(seed, Path(folder) / str(number), slow, epochs))
            print(f"seed {seed}: {runs[-1]['wall_time_s']} s", file=sys.stderr)
    first, repeated = (
        {k: v for k, v in r["metrics"].items() if not k.startswith(RESOURCES)}
        for r in (runs[0], runs[-1])
    )
    lines = [
        "| metric | seed 0 | seed 1 | seed 2 | best baseline of each | smallest margin |",
        "|---|---|---|---|---|---|",
    ]
    for name in METRICS:
        values = [r["metrics"][name] for r in runs[:3]]
        best = [
            max(r["metrics"].get(f"{b}.{name}") or 0.0 for b in r["baselines"]) for r in runs[:3]
        ]
        margin = min(v - b for v, b in zip(values, best, strict=True))
        shown = " | ".join(f"{100 * v:.2f}" for v in values)
        baselines = ", ".join(f"{100 * b:.2f}" for b in best) if any(best) else "–"
        lines.append(
            f"| {name} | {shown} | {baselines} | {100 * margin:+.2f} |"
            if any(best)
            else f"| {name} | {shown} | – | – |"
        )
    training = [r["steps"] * 256 / r["metrics"]["throughput.images_per_s"] for r in runs[:3]]
    times = ", ".join(f"{t:.0f}" for t in training)
    walls = ", ".join(f"{r['wall_time_s']:.0f}" for r in runs[:3])
    conditions = " (AVX-512 disabled)" if slow else ""
    outcome = "the same metrics, bit by bit" if first == repeated else "DIFFERENT METRICS"
    lines += [
        "",
        f"Training took {times} s, the whole run {walls} s{conditions}.",
        f"The same seed again gave {outcome}.",
    ]
    results = ROOT / "benchmarks" / "results"
    results.mkdir(exist_ok=True)
    stem = "-".join(["quickstart", *(["avx2"] if slow else []), *([str(epochs)] if epochs else [])])
    (results / f"{stem}.json").write_text(json.dumps(runs, indent=1) + "\n")
    (results / f"{stem}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    if first != repeated:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Measure the speed of ssl-host and of common alternatives, in turns in one process.

    python benchmarks/speed/run.py [CASE ...]

Without arguments, all cases run: under 15 minutes on two cores. Writes
benchmarks/results/speed.json and speed.md; cases that do not run keep their previous figures.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import decoding
import epochs
import evaluation
import steps
import views
import vits
from comparison import TABLE_HEADER, Comparison, describe_machine, format_row

from ssl_host import UserError

RESULTS = Path(__file__).parents[1] / "results"
CASES: dict[str, Callable[[], Comparison]] = {
    "views": views.compare_small_views,
    "photographs": views.compare_photographs,
    "decoding": decoding.compare_decoding,
    "step-resnet": lambda: steps.compare_steps("ResNet-18"),
    "step-small": lambda: steps.compare_steps("small backbone"),
    "epoch": epochs.compare_simsiam,
    "mae": vits.compare_mae,
    "dino": vits.compare_dino,
    "dino-epochs": vits.compare_dino_epochs,
    "precision": steps.compare_precision,
    "overhead": steps.compare_overhead,
    "linear": evaluation.compare_linear,
    "memory": evaluation.compare_memory,
}


def main() -> None:
    names = sys.argv[1:] or list(CASES)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        sys.exit(f"unknown case {', '.join(unknown)}; use {', '.join(CASES)}")
    file = RESULTS / "speed.json"
    results = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for name in names:
        try:
            comparison = CASES[name]()
        except UserError as error:
            print(f"{name} is skipped: {error}", file=sys.stderr)
            continue
        results[name] = {
            "rows": comparison.rows(),
            "speeds": dict(comparison.speeds),
            "machine": describe_machine(),
        }
        for row in comparison.rows():
            print(format_row(row), flush=True)
        # Write after each case, so that an interrupted command keeps what it has measured.
        write_results({name: results[name] for name in CASES if name in results}, file)


def write_results(results: dict, file: Path) -> None:
    """Write the results of all cases as JSON and as a Markdown table."""
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    rows = [format_row(row) for case in results.values() for row in case["rows"]]
    text = "\n".join([TABLE_HEADER, *rows]) + "\n"
    file.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()

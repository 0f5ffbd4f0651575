"""Speed against what would be used instead, side by side in one run.

    python benchmarks/speed/run.py [CASE ...]

Without a case all of them, under 15 minutes on two cores. Writes benchmarks/results/speed.json and
speed.md; cases that were not asked for keep the figures they had.
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
from sides import HEADER, Comparison, line, machine

from ssl_host import UserError

RESULTS = Path(__file__).parents[1] / "results"
CASES: dict[str, Callable[[], Comparison]] = {
    "views": views.small,
    "photographs": views.photographs,
    "decoding": decoding.decoding,
    "step-resnet": lambda: steps.whole_step("ResNet-18"),
    "step-small": lambda: steps.whole_step("small backbone"),
    "epoch": epochs.simsiam,
    "precision": steps.precision,
    "overhead": steps.overhead,
    "linear": evaluation.linear,
    "memory": evaluation.memory,
}


def main() -> None:
    asked = sys.argv[1:] or list(CASES)
    unknown = [name for name in asked if name not in CASES]
    if unknown:
        sys.exit(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    raw = RESULTS / "speed.json"
    found = json.loads(raw.read_text("utf-8")) if raw.exists() else {}
    for name in asked:
        try:
            comparison = CASES[name]()
        except UserError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        found[name] = {
            "rows": comparison.rows(),
            "speeds": dict(comparison.speeds),
            "machine": machine(),
        }
        for row in comparison.rows():
            print(line(row), flush=True)
        write({name: found[name] for name in CASES if name in found}, raw)


def write(found: dict, raw: Path) -> None:
    """After each case: whoever stops it keeps what has been measured."""
    raw.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    table = [HEADER, *(line(row) for case in found.values() for row in case["rows"])]
    (RESULTS / "speed.md").write_text("\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()

"""Puts the figures of `make benchmark` where they are read: the README's table, plugins' READMEs.

    python benchmarks/publish.py runs/benchmark/mnist5k

Copies the suite's table and raw results to benchmarks/results, and writes what stands in READMEs
anew from them. `tests/docs/test_figures.py` holds them equal.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TABLE = re.compile(r"(?m)^\| method \|.*\n(?:\|.*\n)+")
SENTENCE = re.compile(r"(?ms)^On 5,000 digits, .*?\.\n(?=\n|\Z)")
COLUMNS = {"linear top-1": "linear", "kNN": "kNN", "10 labels": "ten labels a class"}
BASELINES = ("random network", "raw pixels", "simple statistics")


def table() -> str:
    """The committed table, without what stands below it."""
    return (RESULTS / "mnist5k.md").read_text("utf-8").split("\n\n")[0] + "\n"


def rows() -> dict[str, dict[str, str]]:
    """Its cells, by row and column."""
    lines = [[c.strip() for c in line.strip("|\n").split("|")] for line in table().splitlines()]
    return {cells[0]: dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]}


def sentence(method: str) -> str:
    """What a method's own README says of its figures."""
    found = rows()
    figures = ", ".join(f"{name} {found[method][c]}" for c, name in COLUMNS.items())
    best = [
        max((found[name][column].split(" ")[0] for name in BASELINES), key=float)
        for column in COLUMNS
    ]
    return (
        "On 5,000 digits, three seeds, measured by\n"
        "`ssl-host benchmark benchmarks/mnist5k.ini`:\n"
        f"{figures}\n"
        f"(best baselines {', '.join(best)}; ↓: not with every seed above them).\n"
    )


def documents() -> dict[Path, str]:
    """Every document that shows figures, as it should be."""
    found = {}
    readme = ROOT / "README.md"
    found[readme] = TABLE.sub(lambda _: table(), readme.read_text("utf-8"), count=1)
    for method in (name for name in rows() if name not in BASELINES):
        own = ROOT / "plugins" / f"ssl-plugin-{method}" / "README.md"
        found[own] = SENTENCE.sub(lambda _, m=method: sentence(m), own.read_text("utf-8"))
    return found


def main() -> None:
    suite = Path(sys.argv[1])
    shutil.copy(suite / "benchmark.json", RESULTS / "mnist5k.json")
    text = (suite / "table.md").read_text("utf-8")
    (RESULTS / "mnist5k.md").write_text(text.split("\nWeights, by seed")[0] + "\n", "utf-8")
    for document, content in documents().items():
        document.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

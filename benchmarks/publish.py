"""Copy the figures of a suite into the README and the READMEs of the method plugins.

    python benchmarks/publish.py runs/benchmark/mnist5k
    python benchmarks/publish.py runs/benchmark/mnist5k-tokens

Copies the suite's table and raw results to benchmarks/results, and rewrites the parts of READMEs
that show them. `tests/docs/test_figures.py` checks that both are equal.
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
SUITES = [suite for suite in ("mnist5k", "mnist5k-tokens") if (RESULTS / f"{suite}.md").is_file()]
"""Suites in benchmarks/ with committed results; the README shows the table of the first."""
BASELINES = ("random network", "raw pixels", "simple statistics")


def read_table(suite: str = SUITES[0]) -> str:
    """Return the committed table of a suite without the text below it."""
    return (RESULTS / f"{suite}.md").read_text("utf-8").split("\n\n")[0] + "\n"


def read_cells(suite: str = SUITES[0]) -> dict[str, dict[str, str]]:
    """Return the cells of a suite's committed table by row and column."""
    lines = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in read_table(suite).splitlines()
    ]
    return {cells[0]: dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]}


def method_sentence(method: str, suite: str) -> str:
    """Return the sentence with a method's figures for the README of its plugin."""
    cells = read_cells(suite)
    figures = ", ".join(f"{name} {cells[method][column]}" for column, name in COLUMNS.items())
    baselines = [name for name in cells if name.startswith(BASELINES)]
    best = [
        max((cells[name][column].split(" ")[0] for name in baselines), key=float)
        for column in COLUMNS
    ]
    return (
        "On 5,000 digits, three seeds, measured by\n"
        f"`ssl-host benchmark benchmarks/{suite}.ini`:\n"
        f"{figures}\n"
        f"(best baselines {', '.join(best)}; ↓: not above them with every seed).\n"
    )


def documents() -> dict[Path, str]:
    """Return the expected content of every document that shows figures, by path."""
    readme = ROOT / "README.md"
    contents = {readme: TABLE.sub(lambda _: read_table(), readme.read_text("utf-8"), count=1)}
    for suite in SUITES:
        for method in (name for name in read_cells(suite) if not name.startswith(BASELINES)):
            path = ROOT / "plugins" / f"ssl-plugin-{method}" / "README.md"
            sentence = method_sentence(method, suite)
            contents[path] = SENTENCE.sub(lambda _, s=sentence: s, path.read_text("utf-8"))
    return contents


def main() -> None:
    suite = Path(sys.argv[1])
    shutil.copy(suite / "benchmark.json", RESULTS / f"{suite.name}.json")
    text = (suite / "table.md").read_text("utf-8")
    (RESULTS / f"{suite.name}.md").write_text(text.split("\nWeights, by seed")[0] + "\n", "utf-8")
    for path, content in documents().items():
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

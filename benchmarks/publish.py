"""Copy the figures of suites into the READMEs, and further ones into the pages on methods.

    python benchmarks/publish.py runs/benchmark/mnist5k runs/benchmark/mnist5k-joint

Copies each suite's table and raw results to benchmarks/results, with the metrics of the epochs that
were evaluated, and rewrites the parts of READMEs and pages that show them.
`tests/docs/test_figures.py` checks that both are equal.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ssl_host import Catalog
from ssl_host.report.curves import read_curves, values_by_epoch

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TABLE = re.compile(r"(?m)^\| method \|.*\n(?:\|.*\n)+")
SENTENCE = re.compile(r"(?ms)^On 5,000 digits, .*?\.\n(?=\n|\Z)")
COLUMNS = {
    "linear top-1": "linear",
    "kNN": "kNN",
    "10 labels": "ten labels a class",
    "fine-tuned": "fine-tuned with ten labels a class",
}
SUITES = [
    suite
    for suite in ("mnist5k", "mnist5k-joint", "mnist5k-teachers", "mnist5k-masked")
    if (RESULTS / f"{suite}.md").is_file()
]
"""Suites in benchmarks/ with committed results."""
BATCHES = "mnist5k-batch"
"""Suite of methods and batch sizes, which has a table of its own."""
EPOCHS = "mnist5k-epochs"
"""Suite whose runs are evaluated during training, for the page on choosing without labels."""
FAMILIES = {
    "contrast": "simclr dcl dclw mocov2 mocov3 nnclr nnsiam nnbyol all4one ressl",
    "prediction of the other view": "simsiam byol",
    "regularised embeddings": "barlowtwins vicreg vibcreg wmse tico lejepa",
    "prototypes": "swav deepclusterv2 msn dino ibot dinov2",
    "masked patches": "mae simmim ijepa data2vec",
    "labels": "supcon",
}
"""Methods in the order of the README's table, by family."""
SHOWN = ("epochs", "linear top-1", "kNN", "10 labels", "RankMe")
"""Columns of the README's table; times are not comparable between machines."""
BASELINES = ("random network", "raw pixels", "simple statistics")
NUMBERS = {1: "one seed", 2: "two seeds", 3: "three seeds"}


def read_table(suite: str) -> str:
    """Return the committed table of a suite without the text below it."""
    return (RESULTS / f"{suite}.md").read_text("utf-8").split("\n\n")[0] + "\n"


def read_cells(suite: str) -> dict[str, dict[str, str]]:
    """Return the cells of a suite's committed table by row and column."""
    lines = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in read_table(suite).splitlines()
    ]
    return {cells[0].split(" (")[0]: dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]}


def read_runs(suite: str) -> list[dict]:
    """Return the raw results of a suite's finished runs."""
    raw = json.loads((RESULTS / f"{suite}.json").read_text("utf-8"))
    return [run for run in raw["runs"] if run["results"]]


def methods_of(suite: str) -> list[str]:
    """Return the methods in a suite's committed table."""
    return [name for name in read_cells(suite) if not name.startswith(BASELINES)]


def family_table() -> str:
    """Return the README's table: the methods of all suites, by family, and the baselines."""
    lines = [f"| method | {' | '.join(SHOWN)} |", "|---|" + "---:|" * len(SHOWN)]
    cells = {method: row for suite in SUITES for method, row in read_cells(suite).items()}
    for family, names in FAMILIES.items():
        found = [name for name in names.split() if name in cells]
        if found:
            lines.append(f"| *{family}* |" + " |" * len(SHOWN))
        for name in found:
            lines.append(f"| {name} | {' | '.join(cells[name][c] for c in SHOWN)} |")
    lines.append("| *without training* |" + " |" * len(SHOWN))
    for name, row in read_cells(SUITES[0]).items():
        if name.startswith(BASELINES):
            lines.append(f"| {name} | {' | '.join(row[c] for c in SHOWN)} |")
    return "\n".join(lines) + "\n"


def batch_table() -> str:
    """Return the table of methods and batch sizes: linear probe and ten labels a class."""
    rows: dict[str, dict[str, str]] = {}
    for run in read_runs(BATCHES):
        metrics = run["results"]["metrics"]
        accuracies = (100 * metrics[f"{name}.top1"] for name in ("linear", "few_label.10"))
        cells = rows.setdefault(run["method"], {})
        cells[run["run.batch_size"]] = " / ".join(f"{a:.1f}" for a in accuracies)
    sizes = list(next(iter(rows.values())))
    lines = [f"| linear / ten labels | {' | '.join(sizes)} |", "|---|" + "---:|" * len(sizes)]
    for method, cells in rows.items():
        lines.append(f"| `{method}` | {' | '.join(cells.get(size, '–') for size in sizes)} |")
    return "\n".join(lines) + "\n"


def page_tables() -> Iterator[tuple[str, str]]:
    """Yield the name of a page and a table in it, which is found by its first heading."""
    for page, name in (("which-method", "cost"), ("choosing-without-labels", "label_free")):
        yield page, (RESULTS / f"{name}.md").read_text("utf-8")
    yield "which-method", batch_table()


def paragraph(methods: list[str], suite: str) -> str:
    """Return the paragraph with the figures of a plugin's methods for its README."""
    cells = read_cells(suite)
    columns = {c: name for c, name in COLUMNS.items() if c in next(iter(cells.values()))}
    seeds = {run["seed"] for run in read_runs(suite) if run["method"] in methods}
    lines = []
    for method in methods:
        figures = ", ".join(f"{name} {cells[method][c]}" for c, name in columns.items())
        lines.append(f"`{method}`: {figures}" if len(methods) > 1 else figures)
    baselines = [row for name, row in cells.items() if name.startswith(BASELINES)]
    best = [
        max((row[c].split(" ")[0] for row in baselines if row[c] != "–"), key=float)
        for c in columns
    ]
    return (
        f"On 5,000 digits, {NUMBERS[len(seeds)]}, measured by\n"
        f"`ssl-host benchmark benchmarks/{suite}.ini`:\n"
        + ";\n".join(lines)
        + f"\n(best baselines {', '.join(best)}; ↓: not above them with every seed).\n"
    )


def pages(suite: str) -> Iterator[tuple[Path, list[str]]]:
    """Yield the README of each plugin with methods in a suite, and these methods."""
    methods: dict[str, list[str]] = {}
    for method in methods_of(suite):
        distribution = Catalog().find("method", method).origin.distribution
        methods.setdefault(distribution, []).append(method)
    for distribution, names in methods.items():
        yield ROOT / "plugins" / distribution / "README.md", names


def documents() -> dict[Path, str]:
    """Return the expected content of every document that shows figures, by path."""
    readme = ROOT / "README.md"
    table = family_table()
    contents = {readme: TABLE.sub(lambda _: table, readme.read_text("utf-8"), count=1)}
    for suite in SUITES:
        for path, methods in pages(suite):
            text = contents.get(path) or path.read_text("utf-8")
            expected = paragraph(methods, suite)
            found = [m for m in SENTENCE.finditer(text) if f"/{suite}.ini" in m.group()]
            if found:
                text = text[: found[0].start()] + expected + text[found[0].end() :]
            else:
                text = f"{text.rstrip()}\n\n{expected}"
            contents[path] = text
    explanation = ROOT / "docs" / "explanation"
    for page, expected in page_tables():
        path = explanation / f"{page}.md"
        text = contents.get(path) or path.read_text("utf-8")
        table = re.compile(rf"(?m)^{re.escape(expected.split(' |')[0])} \|.*\n(?:\|.*\n)+")
        contents[path] = table.sub(lambda _, new=expected: new, text)
    return contents


def with_epochs(suite: Path) -> dict:
    """Return a suite's raw results, with the metrics of each run's epochs that were evaluated."""
    raw = json.loads((suite / "benchmark.json").read_text("utf-8"))
    for run in raw["runs"]:
        by_epoch = values_by_epoch(read_curves(suite / run["run"]))
        evaluated = {
            name: by_epoch[name]
            for name in (run["results"] or {}).get("metrics", ())
            if by_epoch.get(name)
        }
        if evaluated:
            run["epochs"] = evaluated
    return raw


def main() -> None:
    for suite in map(Path, sys.argv[1:]):
        raw = with_epochs(suite)
        (RESULTS / f"{suite.name}.json").write_text(json.dumps(raw, indent=1) + "\n", "utf-8")
        text = (suite / "table.md").read_text("utf-8").split("\nWeights, by seed")[0]
        (RESULTS / f"{suite.name}.md").write_text(text + "\n", "utf-8")
        if suite.name not in (*SUITES, BATCHES, EPOCHS):
            SUITES.append(suite.name)
    for path, content in documents().items():
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

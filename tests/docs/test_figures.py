"""Check that the figures in READMEs are those of the committed results."""

import importlib.util
import re
from pathlib import Path
from statistics import fmean, stdev

import pytest

ROOT = Path(__file__).parents[2]


def load(name):
    """Return a script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


publish, label_free = load("publish"), load("label_free")


@pytest.mark.parametrize("document", publish.documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_figures_in_documents_are_the_committed_results(document):
    """If this fails, run `benchmarks/publish.py`."""
    shown = document.read_text("utf-8")
    assert shown == publish.documents()[document]
    assert re.search(r"(?m)^\| (method|measure) \|", shown) or publish.SENTENCE.search(shown)


@pytest.mark.parametrize("suite", publish.SUITES)
def test_committed_table_matches_the_raw_results(suite):
    for method, row in publish.read_cells(suite).items():
        values = [
            100 * run["results"]["metrics"]["knn.top1"]
            for run in publish.read_runs(suite)
            if run["method"] == method
        ]
        if values:
            deviation = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
            assert row["kNN"].startswith(f"{fmean(values):.1f}{deviation}")


def test_correlations_are_those_of_the_committed_results():
    """If this fails, run `benchmarks/label_free.py`."""
    assert (publish.RESULTS / "label_free.md").read_text("utf-8") == label_free.table()


def test_measure_that_ranks_the_runs_as_the_probe_has_correlation_one(monkeypatch):
    values = [(0.1, 0.5, 3.0), (0.2, 0.6, 9.0), (0.3, 0.7, 4.0)]
    runs = [
        {"method": "m", "results": {"metrics": {"knn.top1": k, "linear.top1": v, "rankme": r}}}
        for k, v, r in values
    ]
    monkeypatch.setattr(label_free, "read_runs", lambda _: runs)
    assert label_free.within_methods(("a",), "*kNN, with labels*").startswith("1.00 [1.00, 1.00]")
    assert label_free.within_methods(("a",), "RankMe").startswith("0.50 [0.50, 0.50]")

"""Check that the figures in READMEs are those of the committed results."""

import importlib.util
import json
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


def test_epochs_are_compared_as_runs_and_a_wrong_choice_costs_the_difference(monkeypatch):
    epochs = {
        "linear.top1": {"2": 0.5, "4": 0.75, "10": 0.625},
        "rankme": {"2": 1, "4": 2, "10": 3},
    }
    run = {"method": "m", "epochs": epochs}
    found = list(label_free.epochs_of(run))
    assert [e["results"]["metrics"]["epoch"] for e in found] == [2, 4, 10]
    monkeypatch.setattr(label_free, "read_runs", lambda _: found)
    assert label_free.within_methods(("a",), "RankMe").startswith("0.50 [0.50, 0.50]")
    assert label_free.lost_by_choice("RankMe").startswith("12.50 [12.50, 12.50]")
    assert label_free.lost_by_choice("number of the epoch").startswith("12.50 ")
    assert label_free.lost_by_choice("LiDAR") == "–"


def test_published_results_have_the_metrics_of_evaluated_epochs(tmp_path):
    runs = [
        {"run": "one", "results": {"metrics": {"rankme": 3.0, "knn.top1": 0.9}}},
        {"run": "failed", "results": None},
    ]
    (tmp_path / "benchmark.json").write_text(json.dumps({"runs": runs}), "utf-8")
    (tmp_path / "one").mkdir()
    rows = "step,epoch,loss,rankme\n5,,1.5,\n10,2,1.25,2.5\n20,4,1.0,3.5\n"
    (tmp_path / "one" / "metrics.csv").write_text(rows, "utf-8")
    one, failed = publish.with_epochs(tmp_path)["runs"]
    assert one == {**runs[0], "epochs": {"rankme": {2: 2.5, 4: 3.5}}}
    assert failed == runs[1]

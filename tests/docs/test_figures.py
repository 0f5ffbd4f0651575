"""Check that the figures in READMEs are those of the committed results."""

import importlib.util
from pathlib import Path
from statistics import fmean, stdev

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("publish", ROOT / "benchmarks" / "publish.py")
publish = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(publish)


@pytest.mark.parametrize("document", publish.documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_figures_in_documents_are_the_committed_results(document):
    """If this fails, run `benchmarks/publish.py`."""
    shown = document.read_text("utf-8")
    assert shown == publish.documents()[document]
    assert publish.TABLE.search(shown) or publish.SENTENCE.search(shown)


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

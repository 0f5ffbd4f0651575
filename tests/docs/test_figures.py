"""Check that the figures in READMEs are those of the committed results."""

import importlib.util
import json
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


def test_committed_table_matches_the_raw_results():
    raw = json.loads((publish.RESULTS / "mnist5k.json").read_text("utf-8"))
    for method, row in publish.read_cells().items():
        values = [
            100 * cell["results"]["metrics"]["knn.top1"]
            for cell in raw["runs"]
            if cell["method"] == method
        ]
        if values:
            assert row["kNN"].startswith(f"{fmean(values):.1f} ± {stdev(values):.1f}")

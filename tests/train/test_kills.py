"""A short version of ``make soak``, which kills runs many times."""

import importlib
import random
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_run_killed_several_times_ends_bit_equal(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    soak = importlib.import_module("soak")
    monkeypatch.setitem(soak.CONFIG["run"], "epochs", 50)
    tally = soak.soak("mocov2", 4, tmp_path, random.Random(0))
    assert tally.runs <= 4
    assert tally.different == []

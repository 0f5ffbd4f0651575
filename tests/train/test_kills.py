"""A short version of ``make soak``, which kills runs many times."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
def test_run_killed_several_times_ends_bit_equal(tmp_path):
    process = subprocess.run(
        [sys.executable, SOAK, "--kills", "4", "--methods", "mocov2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "kills={" in process.stdout
    assert "different=[])" in process.stdout

"""A few of the kills that ``make soak`` makes by the hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
def test_a_run_that_is_killed_several_times_ends_as_if_it_had_not_been(tmp_path):
    """Seen to fail with the queue left out of the checkpoint."""
    done = subprocess.run(
        [sys.executable, SOAK, "--kills", "4", "--methods", "mocov2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills={" in done.stdout
    assert "different=[])" in done.stdout

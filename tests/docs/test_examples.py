"""Every INI in examples/ is valid and makes one real step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Those of example plugins are run by the tests of the plugins, which have to be installed first.
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ini"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_valid_and_steps(file):
    command = [sys.executable, "-m", "ssl_host", "run", str(file), "--dry-run", "--json"]
    command += ["-o", "trainer.num_threads=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total_steps"] > 0

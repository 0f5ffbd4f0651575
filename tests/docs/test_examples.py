"""Check every INI file in examples/ by a dry run."""

import json
from pathlib import Path

import pytest

# Configurations of example plugins are run by the tests of the plugins, once these are installed.
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ini"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda p: p.stem)
def test_example_dry_run_succeeds(file, ssl_host):
    options = ("-o", "trainer.num_threads=1", "-o", "run.batch_size=32")  # quick steps
    done = ssl_host("run", file, "--dry-run", "--json", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total_steps"] > 0

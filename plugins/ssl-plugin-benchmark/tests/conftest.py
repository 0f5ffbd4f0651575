"""Fixtures that the tests of this plugin share."""

import os
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from ssl_plugin_benchmark.command import benchmark

from ssl_host import Catalog, Session


@pytest.fixture(autouse=True)
def one_thread():
    """Limit torch to one thread: two test processes share two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def catalog():
    return Catalog()


@pytest.fixture
def ssl_host(tmp_path):
    """Return a function that runs ``ssl-host`` in a process and waits for it."""

    def run(*arguments, env=None):
        return subprocess.run(
            [sys.executable, "-m", "ssl_host", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", **(env or {})},
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Return a function that runs ``ssl-host benchmark`` in this process and returns its output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        words = [str(argument) for argument in arguments]
        result = CliRunner().invoke(benchmark, words, obj=Session(), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return run

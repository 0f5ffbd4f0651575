"""Fixtures that the tests of this plugin share."""

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
def ssl_host(ssl_host_command):
    """Return a function that runs ``ssl-host`` in this process; its runs are others."""
    return ssl_host_command


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

"""Fixtures that the tests of this plugin share."""

import tempfile
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from ssl_plugin_benchmark.command import benchmark

from ssl_host import Catalog, Session
from ssl_host.testing.command_process import CommandProcess


@pytest.fixture(autouse=True)
def one_thread():
    """Limit torch to one thread: two test processes share two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def catalog():
    return Catalog()


class ForkedRun:
    """Stands for ``subprocess.Popen``: a run in a process that has imported torch already."""

    def __init__(self, command, *, stderr, env, **_):
        folder = Path(tempfile.mkdtemp())
        self._stdout = folder / "stdout"
        module, *arguments = command[2:]
        files = {"stdout": self._stdout, "stderr": Path(stderr.name)}
        self._process = CommandProcess(arguments, module=module, environment=env, **files)

    def communicate(self):
        self.returncode = self._process.wait()
        return self._stdout.read_text("utf-8"), None


@pytest.fixture
def ssl_host(ssl_host_command, monkeypatch):
    """Return a function that runs ``ssl-host`` in this process, and its runs in forked ones."""
    forked = SimpleNamespace(Popen=ForkedRun, CompletedProcess=CompletedProcess, PIPE=None)
    monkeypatch.setattr("ssl_plugin_benchmark.subprocesses.subprocess", forked)
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

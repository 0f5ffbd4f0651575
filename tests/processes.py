"""Helpers for tests with several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from ssl_host.testing.command_process import CommandProcess
from ssl_host.testing.commands import ENVIRONMENT
from ssl_host.testing.distributed import distance


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return True if the relative distance of two tensors is at most 1e-9."""
    return distance(found, expected) <= 1e-9


def command(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None, group: bool = False
) -> subprocess.Popen[str]:
    """Start a command in the background with one thread; its messages are read from its stderr.

    Args:
        group: True to start a process group, which can be killed as a whole.
    """
    return subprocess.Popen(
        arguments,
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        start_new_session=group,
    )


def start_python(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start the Python interpreter in the background."""
    return command(sys.executable, *arguments, cwd=cwd, environment=environment)


class Command(CommandProcess):
    """An ``ssl-host`` command with one thread in the background."""

    def __init__(self, *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None):
        descriptor, name = tempfile.mkstemp(dir=cwd, prefix="stderr-")
        os.close(descriptor)
        self._stderr = Path(name)
        super().__init__(
            arguments,
            stdout=Path(os.devnull),
            stderr=self._stderr,
            cwd=cwd,
            environment={"OMP_NUM_THREADS": "1", **(environment or {})},
        )

    def stderr(self) -> str:
        """Return what the command has written to its standard error so far."""
        return self._stderr.read_text(encoding="utf-8")

    def finish(self, timeout: float = 200) -> tuple[int | None, str]:
        """Wait for the end and return the exit status and the standard error."""
        status = self.wait(timeout)
        assert status is not None, f"still running after {timeout} s: {self.stderr()}"
        return status, self.stderr()


def run_module(
    module: str, *arguments: object, environment: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run a Python module in a process that has imported torch, with one thread.

    ``PYTHONPATH`` in ``environment`` is added to that of this process.
    """
    paths = filter(None, (environment.get("PYTHONPATH"), os.environ.get("PYTHONPATH")))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdout", "stderr")]
        words = [str(argument) for argument in arguments]
        process = CommandProcess(
            words,
            module=module,
            stdout=files[0],
            stderr=files[1],
            cwd=cwd,
            environment={**ENVIRONMENT, **environment, "PYTHONPATH": os.pathsep.join(paths)},
        )
        status = process.wait(300)
        output, errors = (file.read_text(encoding="utf-8") for file in files)
    assert status is not None, f"python -m {module} {words} still runs:\n{output}\n{errors}"
    return subprocess.CompletedProcess(words, status, output, errors)


def wait_until(
    done: Callable[[], bool], seconds: float = 120, process: Command | None = None
) -> None:
    """Wait until a condition holds; fail with the stderr of a command that ends before."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.stderr()
        time.sleep(0.1)


def has_rows(table: Path, count: int) -> bool:
    """Return True if a ``metrics.csv`` has more than the given number of lines."""
    return table.exists() and table.read_text(encoding="utf-8").count("\n") > count

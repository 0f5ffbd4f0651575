"""Helpers for tests with several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

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


def module(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start a Python module in the background."""
    return command(sys.executable, "-m", *arguments, cwd=cwd)


def wait_until(
    done: Callable[[], bool], seconds: float = 120, process: subprocess.Popen[str] | None = None
) -> None:
    """Wait until a condition holds; fail with the stderr of a process that ends before."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()[1]
        time.sleep(0.1)


def has_rows(table: Path, count: int) -> bool:
    """Return True if a ``metrics.csv`` has more than the given number of lines."""
    return table.exists() and table.read_text(encoding="utf-8").count("\n") > count

"""Simulate interruptions and missing libraries, for tests of the host and of plugins."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ssl_host.contracts.method import Method


class StoppedError(BaseException):
    """Raised to simulate a power cut; ``except Exception`` does not catch it."""


@contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """Context manager that interrupts training after ``steps`` optimizer steps, like a power cut.

    Raises:
        AssertionError: when the run ends before it has made that many steps.
    """
    finish_step, num_done = Method.finish_step, 0

    def counted(self: Method, *args: Any, **kwargs: Any) -> None:
        nonlocal num_done
        finish_step(self, *args, **kwargs)
        num_done += 1
        if num_done == steps:
            raise StoppedError

    with patch.object(Method, "finish_step", counted):
        try:
            yield
        except StoppedError:
            return
    raise AssertionError(f"the run ended before step {steps}")


def command_without(
    library: str, *arguments: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run ``ssl-host`` in a new process as if a library were not installed.

    Args:
        library: name of the library, as in an import statement.
        arguments: command-line arguments, without ``ssl-host``.
        folder: working directory of the command; the folder ``site`` is created in it.

    Returns:
        The exit status, stdout and stderr.
    """
    site = folder / "site"
    site.mkdir(exist_ok=True)
    missing = f'raise ModuleNotFoundError("No module named {library!r}", name={library!r})'
    (site / f"{library}.py").write_text(missing, encoding="utf-8")
    search_path = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "ssl_host", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )

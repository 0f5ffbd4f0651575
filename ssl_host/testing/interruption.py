"""What tests of resuming and of missing libraries share, in the host and in plugins."""

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
    """Stands for a power cut at a step: nothing that guards against errors catches it."""


@contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """A run within it ends right after so many optimizer steps of this process.

    Raises:
        StoppedError: then; it is caught here.
        AssertionError: when the run came to its end before.
    """
    advance, done = Method.finish_step, 0

    def counted(self: Method, *arguments: Any, **named: Any) -> None:
        nonlocal done
        advance(self, *arguments, **named)
        done += 1
        if done == steps:
            raise StoppedError

    with patch.object(Method, "finish_step", counted):
        try:
            yield
        except StoppedError:
            return
    raise AssertionError(f"the run ended before its step {steps}")


def command_without(
    library: str, *arguments: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """``ssl-host`` in ``folder`` as it is where a library is not installed."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    missing = f'raise ModuleNotFoundError("No module named {library!r}", name={library!r})'
    (site / f"{library}.py").write_text(missing, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "ssl_host", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )

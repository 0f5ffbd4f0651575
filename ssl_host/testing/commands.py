"""Run the ``ssl-host`` command inside the test process, which has already imported torch."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest.mock import patch

import importlib_metadata
import torch

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLUMNS": "160"}
"""Environment variables of the command: one CPU thread, and a terminal of a fixed width."""
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]


def run_command(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``ssl-host`` in this process and restore the state that it changes.

    Args:
        arguments: command-line arguments, without ``ssl-host``.
        cwd: working directory of the command.
        env: additional environment variables.

    Returns:
        The exit status, stdout and stderr, as returned by :func:`subprocess.run`.
    """
    words = [str(argument) for argument in arguments]
    main = _find_command()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    argv, folder = sys.argv, Path.cwd()
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    stdout, stderr = io.StringIO(), io.StringIO()
    status = 0
    try:
        os.chdir(cwd)
        sys.argv = ["ssl-host", *words]
        variables = patch.dict(os.environ, {**ENVIRONMENT, **(env or {})})
        with variables, redirect_stdout(stdout), redirect_stderr(stderr):
            main(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os.chdir(folder)
        sys.argv = argv
        for number, handler in handlers.items():
            signal.signal(number, handler)
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
    return subprocess.CompletedProcess(words, status, stdout.getvalue(), stderr.getvalue())


@cache
def _find_command() -> Callable[[list[str]], None]:
    """Return the function of the installed ``ssl-host`` command; the kit cannot import the CLI."""
    (script,) = importlib_metadata.entry_points(group="console_scripts", name="ssl-host")
    main: Callable[[list[str]], None] = script.load()
    return main

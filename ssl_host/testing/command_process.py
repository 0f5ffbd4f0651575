"""Run commands in processes that need not import torch again, for tests and trials."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing import connection
from multiprocessing.context import BaseContext
from pathlib import Path

_PRELOADED = (
    "pytorch_lightning",
    "timm",
    "torch._dynamo",  # the first step of an optimizer imports it
    "ssl_host.augment.numba_backend",
)
"""Modules that take long to import and that a run needs; missing ones are skipped."""
_LOCK = threading.Lock()
"""Held to read exit statuses: starting a process reads those of all others, and each only once."""


class CommandProcess:
    """An ``ssl-host`` command in a process of its own, which is killed when this object is freed.

    On Linux the process is forked from a server that has imported torch and Lightning, which takes
    longer than a short run. It differs from a new interpreter: variables that libraries read when
    they are imported (``RANK``, ``OMP_NUM_THREADS`` for numpy) have no effect, functions registered
    with ``atexit`` are not called, and less memory counts as its own. So users' runs are not
    started this way. A script that uses it needs ``if __name__ == "__main__"``.

    Args:
        arguments: command-line arguments, without ``ssl-host``.
        stdout: file to which the standard output is appended.
        stderr: file to which the standard error is appended; may be the same.
        cwd: working directory; default: the current one.
        environment: environment variables to add to the current ones.
        module: another module to run, as by ``python -m``.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdout: Path,
        stderr: Path,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        module: str = "ssl_host",
    ) -> None:
        folder = Path.cwd() if cwd is None else cwd
        variables = {**os.environ, **(environment or {})}
        files = (stdout.absolute(), stderr.absolute())
        self._process = server_context().Process(  # type: ignore[attr-defined]
            target=_run_module, args=(module, list(arguments), folder, variables, files)
        )
        with _LOCK:
            self._process.start()
        # A failed test must not leave a run behind, for whose end the interpreter would wait.
        weakref.finalize(self, self._process.kill)

    @property
    def pid(self) -> int:
        """Process id."""
        return int(self._process.pid)

    def poll(self) -> int | None:
        """Return the exit status, or None while the command runs; -N if signal N ended it."""
        with _LOCK:
            status: int | None = self._process.exitcode
        return status

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end, at most ``timeout`` seconds, and return what :meth:`poll` returns."""
        connection.wait([self._process.sentinel], timeout)
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended in the meantime
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()


@cache
def server_context() -> BaseContext:
    """Return the ``multiprocessing`` context for processes that import torch.

    On Linux, processes are forked from a server that imports once what they need; elsewhere, where
    libraries do not survive a fork, each imports for itself. The server ends with the last of this
    process and its commands.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    own = [name for name in sys.modules if name.startswith("ssl_host.")]
    context.set_forkserver_preload(["__main__", *_PRELOADED, *own])
    return context


def _run_module(
    module: str,
    arguments: list[str],
    folder: Path,
    environment: Mapping[str, str],
    files: tuple[Path, Path],
) -> None:
    """Run a module as ``python -m`` would; called in the new process."""
    for descriptor, file in zip((1, 2), files, strict=True):
        target = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(target, descriptor)
        os.close(target)
    os.environ.clear()
    os.environ.update(environment)  # the server has the variables from when it was started
    paths = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = [path for path in paths if path not in sys.path]
    os.chdir(folder)
    # The command's own processes, such as those that decode images, start as in any command.
    multiprocessing.set_start_method(None, force=True)
    sys.argv = [module, *arguments]
    # Lightning starts further processes with the module and the arguments of this one.
    runpy.run_module(module, run_name="__main__", alter_sys=True)

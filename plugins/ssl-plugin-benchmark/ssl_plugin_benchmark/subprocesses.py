"""Run commands in processes that stop together with their parent process."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ssl_host import CommandProcess, Preempted

GRACE_PERIOD_S = 120.0
"""Seconds that a stopped process has to finish its step and write a checkpoint."""


class ProcessGroup:
    """Group of ``ssl-host`` commands that several threads can run, and that stop together.

    Args:
        environment: environment variables to add to the current ones.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._running: set[CommandProcess] = set()
        self._stopped = False

    def run(self, arguments: Sequence[str], stdout: Path, stderr: Path) -> int | None:
        """Run a command until it exits and return its status; append its output to files.

        After :meth:`stop`, it starts no command and returns the exit status of a preempted run.
        """
        with self._lock:
            if self._stopped:
                return Preempted.exit_status
            process = CommandProcess(
                arguments, stdout=stdout, stderr=stderr, environment=self._environment
            )
            self._running.add(process)
        status = process.wait()
        with self._lock:
            self._running.discard(process)
        return status

    def stop(self) -> None:
        """Send SIGTERM to every process, and kill those that do not exit within two minutes."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            if process.wait(GRACE_PERIOD_S) is None:
                process.kill()

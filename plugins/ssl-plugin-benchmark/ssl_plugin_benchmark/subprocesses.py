"""Run child processes that stop together with their parent process."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from ssl_host import Preempted

GRACE_PERIOD_S = 120.0
"""Seconds that a stopped process has to finish its step and write a checkpoint."""


class ProcessGroup:
    """Group of commands that several threads can run, and that can be stopped together.

    Args:
        environment: environment variables to add to the current ones.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def run(self, command: Sequence[str], stderr: IO[str]) -> subprocess.CompletedProcess[str]:
        """Run a command until it exits and return its status and standard output.

        After :meth:`stop`, it starts no command and returns the exit status of a preempted run.
        """
        with self._lock:
            if self._stopped:
                return subprocess.CompletedProcess(list(command), Preempted.exit_status, "")
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
                env=self._environment,
            )
            self._running.add(process)
        output, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        return subprocess.CompletedProcess(list(command), process.returncode, output)

    def stop(self) -> None:
        """Send SIGTERM to every process, and kill those that do not exit within two minutes."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(GRACE_PERIOD_S)
            except subprocess.TimeoutExpired:
                process.kill()

"""Processes that end when the one that started them is asked to."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

GRACE = 120.0
"""Seconds to finish a step and to write a checkpoint."""


class Children:
    """Runs commands from several threads, and ends all that run.

    Args:
        environment: variables that they have beside those of this process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False

    def run(self, command: Sequence[str], stderr: IO[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; none begins once :meth:`end` has been called."""
        with self._lock:
            if self._ended:
                return subprocess.CompletedProcess(list(command), 75, "")
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
                env=self._environment,
            )
            self._running.add(process)
        told, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        return subprocess.CompletedProcess(list(command), process.returncode, told)

    def end(self) -> None:
        """Ask every process to stop, and stop those that have not after :data:`GRACE`."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()

"""Measure how long a run trains and waits for images, across interruptions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TrainingTimer:
    """Measures the training time of a run, including the time before the run was resumed.

    The time before a resume is counted up to the checkpoint that the run resumed from.

    Attributes:
        earlier_s: the training time before the run was resumed, in seconds.
        waited_s: the time spent waiting for images since the run was first started, in seconds.
    """

    def __init__(self) -> None:
        self.earlier_s = 0.0
        self.waited_s = 0.0
        self._started: float | None = None
        self._elapsed = 0.0

    def start(self) -> None:
        """Start measuring the training time."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop measuring the training time."""
        self._elapsed, self._started = self._process_s(), None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Add the time within the context to the time spent waiting for images."""
        start = time.perf_counter()
        yield
        self.waited_s += time.perf_counter() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time within the context as training time."""
        start = time.perf_counter()
        yield
        if self._started is not None:
            self._started += time.perf_counter() - start

    @property
    def trained_s(self) -> float:
        """Total training time in seconds, including the time before the run was resumed."""
        return self.earlier_s + self._process_s()

    def state_dict(self) -> dict[str, float]:
        """Return the training and waiting times in seconds, for a checkpoint."""
        return {"trained_s": self.trained_s, "waited_s": self.waited_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the times spent training and waiting for images before the run was resumed."""
        self.earlier_s = float(state["trained_s"])
        self.waited_s = float(state["waited_s"])

    def _process_s(self) -> float:
        """Return the training time since the run was started or resumed, in seconds."""
        return self._elapsed if self._started is None else time.perf_counter() - self._started

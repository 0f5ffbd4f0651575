"""Time that a run spends in training and in waiting for images, over all its processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TrainingTimer:
    """Seconds of training, including those of earlier processes up to their last checkpoint.

    Attributes:
        earlier_s: seconds that earlier processes trained.
        waited_s: seconds in which a step waited for images, in all processes.
    """

    def __init__(self) -> None:
        self.earlier_s = 0.0
        self.waited_s = 0.0
        self._started: float | None = None
        self._elapsed = 0.0

    def start(self) -> None:
        """Start measuring the training of this process."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop measuring."""
        self._elapsed, self._started = self._process_s(), None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time within this context as waiting for images."""
        start = time.perf_counter()
        yield
        self.waited_s += time.perf_counter() - start

    @property
    def trained_s(self) -> float:
        """Seconds trained in all processes."""
        return self.earlier_s + self._process_s()

    def state_dict(self) -> dict[str, float]:
        """Return the seconds trained and waited, for a checkpoint."""
        return {"trained_s": self.trained_s, "waited_s": self.waited_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the seconds of earlier processes."""
        self.earlier_s = float(state["trained_s"])
        self.waited_s = float(state["waited_s"])

    def _process_s(self) -> float:
        return self._elapsed if self._started is None else time.perf_counter() - self._started

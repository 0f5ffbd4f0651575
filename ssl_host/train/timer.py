"""How long a run has trained, and waited for images, over all the processes it went through."""

from __future__ import annotations

import time
from typing import Any


class TrainingTimer:
    """Seconds of training; what stopped processes did after their last checkpoint is not in them.

    Args:
        kept: :meth:`state` as the checkpoint has it that training goes on from, if there is one.

    Attributes:
        earlier_s: seconds that earlier processes trained.
        waited_s: seconds in which a step waited for images, theirs too.
    """

    def __init__(self, kept: dict[str, Any] | None = None) -> None:
        kept = kept or {}
        self.earlier_s = float(kept.get("trained_s", 0.0))
        self.waited_s = float(kept.get("waited_s", 0.0))
        self._begun: float | None = None
        self._spent = 0.0

    def start(self) -> None:
        """This process begins to train."""
        self._begun = time.perf_counter()

    def stop(self) -> None:
        """It has come to an end."""
        self._spent, self._begun = self._here(), None

    @property
    def trained_s(self) -> float:
        """Seconds trained in all processes."""
        return self.earlier_s + self._here()

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"trained_s": self.trained_s, "waited_s": self.waited_s}

    def _here(self) -> float:
        return self._spent if self._begun is None else time.perf_counter() - self._begun

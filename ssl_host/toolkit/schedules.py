"""Numbers that move with the step: a momentum, a temperature."""

from __future__ import annotations

import math

from ssl_host.contracts.method import Schedule


class ConstantSchedule(Schedule):
    """The same value throughout."""

    def at(self, step: int, total_steps: int) -> float:
        return float(self.value)


class CosineSchedule(Schedule):
    """From ``start`` to ``end`` along half a cosine.

    BYOL's momentum, arXiv:2006.07733, section 3.3: τ = 1 − (1 − τ₀)·(cos(πk/K) + 1)/2 is
    ``CosineSchedule(tau0, 1.0)``.
    """

    def __init__(self, start: float, end: float) -> None:
        super().__init__(start)
        self.start = start
        self.end = end

    def at(self, step: int, total_steps: int) -> float:
        fraction = min(1.0, step / max(1, total_steps))
        return self.end - (self.end - self.start) * (math.cos(math.pi * fraction) + 1) / 2

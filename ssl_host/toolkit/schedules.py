"""Schedules: numbers that change during a run, such as an EMA decay or a temperature."""

from __future__ import annotations

import math

from ssl_host.contracts.optimization import Schedule


class ConstantSchedule(Schedule):
    """Schedule that keeps its initial value."""

    def value_at(self, step: int, total_steps: int) -> float:
        return float(self.value)


class CosineSchedule(Schedule):
    """Half-cosine schedule from ``start`` to ``end`` over the run.

    BYOL's EMA decay (arXiv:2006.07733, section 3.3), τ = 1 − (1 − τ₀)·(cos(πk/K) + 1)/2, is
    ``CosineSchedule(tau0, 1.0)``.
    """

    def __init__(self, start: float, end: float) -> None:
        super().__init__(start)
        self.start = start
        self.end = end

    def value_at(self, step: int, total_steps: int) -> float:
        fraction = min(1.0, step / max(1, total_steps))
        return self.end - (self.end - self.start) * (math.cos(math.pi * fraction) + 1) / 2


class LinearSchedule(Schedule):
    """Linear schedule from ``start`` to ``end``, which then stays at ``end``.

    DINO's teacher temperature (arXiv:2104.14294, section 3.2), with a warm-up over the first 30 of
    100 epochs, is ``LinearSchedule(0.04, 0.07, until=0.3)``.

    Args:
        start: value at the first step.
        end: final value.
        until: fraction of the run at which ``end`` is reached; with 0 it is the value from the
            start, and with more than 1 it is never reached.

    Raises:
        ValueError: if ``until`` is negative.
    """

    def __init__(self, start: float, end: float, until: float = 1.0) -> None:
        super().__init__(start if until else end)
        if until < 0:
            raise ValueError(f"until = {until}: must be a fraction of the run, at least 0")
        self.start = start
        self.end = end
        self.until = until

    def value_at(self, step: int, total_steps: int) -> float:
        fraction = min(1.0, step / max(1.0, self.until * total_steps)) if self.until else 1.0
        return self.start + (self.end - self.start) * fraction

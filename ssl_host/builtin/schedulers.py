"""Learning-rate schedules."""

from __future__ import annotations

import math

from pydantic import Field

from ssl_host import Scheduler, Settings


class WarmupCosine(Scheduler):
    """A linear warm-up, then half a cosine, moved every step: arXiv:1608.03983, eq. 5.

    Step 0 has the rate 1/W of a warm-up of W steps, (step + 1)/W in general, so that no step
    is wasted on a rate of 0. After it step s has the factor
    ``min_factor + (1 - min_factor)·(1 + cos(π·(s - W)/(S - W)))/2`` of S steps in all.
    """

    class Config(Settings):
        warmup_epochs: float = Field(
            0.0, ge=0, le=1e6, description="epochs of linear warm-up, fractions too"
        )
        min_factor: float = Field(0.0, ge=0, le=1, description="factor that the cosine ends at")

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        warmup = min(round(float(self.config.warmup_epochs) * steps_per_epoch), total_steps)
        if step < warmup:
            return (step + 1) / warmup
        fraction = (step - warmup) / max(1, total_steps - warmup)
        low = float(self.config.min_factor)
        return low + (1 - low) * (1 + math.cos(math.pi * min(1.0, fraction))) / 2


class Constant(Scheduler):
    """The same rate throughout."""

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        return 1.0

"""Built-in learning-rate schedulers."""

from __future__ import annotations

import math

from pydantic import Field, field_validator

from ssl_host import Scheduler, Settings


class _WarmupSettings(Settings):
    """Settings of the schedulers that start with a linear warm-up."""

    warmup_epochs: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="length of the linear warm-up in epochs; may be a fraction",
    )

    def warmup_steps(self, total_steps: int, steps_per_epoch: int) -> int:
        """Return the number of optimizer steps in the warm-up."""
        return min(round(self.warmup_epochs * steps_per_epoch), total_steps)


class WarmupCosine(Scheduler):
    """Linear warm-up, then cosine decay, updated every step: arXiv:1608.03983, eq. 5.

    Step s of W warm-up steps has the factor
    ``start_factor + (1 - start_factor)·(s + 1)/W``, so the learning rate is never 0 during
    warm-up. After the warm-up the factor is
    ``min_factor + (1 - min_factor)·(1 + cos(π·(s - W)/(S - W)))/2`` for S steps in total.
    """

    class Config(_WarmupSettings):
        start_factor: float = Field(
            0.0,
            ge=0,
            le=1,
            description="factor that multiplies the learning rate at the start of the warm-up",
        )
        min_factor: float = Field(
            0.0,
            ge=0,
            le=1,
            description="factor that multiplies the learning rate at the end of the run",
        )

    config: Config

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        warmup = self.config.warmup_steps(total_steps, steps_per_epoch)
        if step < warmup:
            start = self.config.start_factor
            return start + (1 - start) * (step + 1) / warmup
        fraction = (step - warmup) / max(1, total_steps - warmup)
        low = self.config.min_factor
        return low + (1 - low) * (1 + math.cos(math.pi * min(1.0, fraction))) / 2


class MultiStep(Scheduler):
    """Multiplies the learning rate by ``gamma`` at each milestone, after a linear warm-up."""

    class Config(_WarmupSettings):
        milestones: list[float] = Field(
            [],
            description="epochs at which the learning rate is multiplied by gamma, such as "
            "[60, 80]",
        )
        gamma: float = Field(
            0.1, gt=0, le=1, description="factor that multiplies the learning rate at a milestone"
        )

        @field_validator("milestones")
        @classmethod
        def _milestones_increase(cls, milestones: list[float]) -> list[float]:
            if any(epoch <= 0 for epoch in milestones) or milestones != sorted(set(milestones)):
                raise ValueError("should be epochs above 0, in increasing order")
            return milestones

    config: Config

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        warmup = self.config.warmup_steps(total_steps, steps_per_epoch)
        if step < warmup:
            return (step + 1) / warmup
        passed = sum(step >= round(m * steps_per_epoch) for m in self.config.milestones)
        return self.config.gamma**passed


class Constant(Scheduler):
    """Keeps the learning rate constant."""

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        return 1.0

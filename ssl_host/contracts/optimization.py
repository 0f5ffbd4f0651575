"""Optimizers and learning-rate schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings

REFERENCE_BATCH = 256
"""The batch size for which ``base_lr`` is given (Goyal et al., arXiv:1706.02677, section 2.1)."""


class OptimizerConfig(Settings):
    """Settings that every optimizer has. Inherit from it for a ``Config``."""

    mutually_exclusive: ClassVar[tuple[tuple[str, ...], ...]] = (("lr", "base_lr"),)

    lr: float | None = Field(None, gt=0, description="learning rate, used as it stands")
    base_lr: float | None = Field(
        None, gt=0, description="learning rate for 256 images a step, scaled linearly by batch_size"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay")
    decay_params: Literal["all", "weights"] = Field(
        "weights",
        description="which parameters decay: all, or weights only (neither biases nor norm layers)",
    )


class Optimizer(Component):
    """Makes a torch optimizer. The host sets each group's ``lr`` before every step."""

    kind: ClassVar[str] = "optimizer"
    build_args: ClassVar[tuple[str, ...]] = ("params",)

    class Config(OptimizerConfig):
        """Learning rate and weight decay."""

    def __init__(self, config: Settings) -> None:
        self.config: Any = config
        self.setup()

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer over parameter groups.

        Args:
            groups: as torch takes them, each with ``params``, ``lr`` and ``weight_decay``, and
                ``trust_ratio``: whether a layer-wise optimizer gives them a trust ratio. What is
                excluded from decay (biases, norm layers) has none, whatever the decay is.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no create")

    def learning_rate(self, batch_size: int) -> float:
        """The peak rate for a global batch of ``batch_size`` images."""
        if self.config.lr is not None:
            return float(self.config.lr)
        base = self.config.base_lr
        return float(0.1 if base is None else base) * batch_size / REFERENCE_BATCH


class Scheduler(Component):
    """A factor on the learning rate as a pure function of the step: nothing to checkpoint."""

    kind: ClassVar[str] = "scheduler"

    def __init__(self, config: Settings) -> None:
        self.config: Any = config
        self.setup()

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """The factor for optimizer step ``step`` (from 0) of ``total_steps``."""
        raise NotImplementedError(f"{type(self).__qualname__} has no factor")

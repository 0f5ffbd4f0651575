"""Base classes of optimizers and learning-rate schedulers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings

REFERENCE_BATCH = 256
"""Batch size at which ``base_lr`` applies (Goyal et al., arXiv:1706.02677, section 2.1)."""


class OptimizerConfig(Settings):
    """Base class of optimizer settings: learning rate and weight decay."""

    mutually_exclusive: ClassVar[tuple[tuple[str, ...], ...]] = (("lr", "base_lr"),)

    lr: float | None = Field(None, gt=0, description="learning rate, independent of batch_size")
    base_lr: float | None = Field(
        None,
        gt=0,
        description="learning rate for a batch of 256 images; multiplied by batch_size / 256",
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay coefficient")
    decay_params: Literal["all", "weights"] = Field(
        "weights",
        description="parameters with weight decay: all, or weights only (no biases or norm layers)",
    )


class Optimizer(Component):
    """Base class of optimizers, which create a torch optimizer.

    The host sets the ``lr`` of each parameter group before every step.
    """

    kind: ClassVar[str] = "optimizer"
    build_args: ClassVar[tuple[str, ...]] = ("params",)
    Config: ClassVar[type[Settings]] = OptimizerConfig

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return a torch optimizer for the given parameter groups.

        Args:
            groups: parameter groups in torch's format, each with ``params``, ``lr``,
                ``weight_decay`` and ``trust_ratio``. The last is True if a layer-wise optimizer
                should scale the group's updates by a trust ratio. It is False for parameters that
                ``decay_params`` excludes from weight decay (biases, norm layers), even if the
                weight decay is 0.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not implement create()")

    def learning_rate(self, batch_size: int) -> float:
        """Return the peak learning rate for a batch of ``batch_size`` images over all processes."""
        if self.config.lr is not None:
            return float(self.config.lr)
        base = self.config.base_lr
        return float(0.1 if base is None else base) * batch_size / REFERENCE_BATCH


class Scheduler(Component):
    """Base class of learning-rate schedulers: factors that depend only on the step.

    A scheduler has no state, so checkpoints do not contain it.
    """

    kind: ClassVar[str] = "scheduler"

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """Return the learning-rate factor for optimizer step ``step``, counted from 0."""
        raise NotImplementedError(f"{type(self).__qualname__} does not implement factor()")

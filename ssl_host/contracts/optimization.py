"""Base classes of optimizers, learning-rate schedulers and schedules; parameter groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings


class OptimizerConfig(Settings):
    """Base class of optimizer settings: learning rate and weight decay."""

    mutually_exclusive: ClassVar[tuple[tuple[str, ...], ...]] = (("lr", "base_lr"),)

    lr: float | None = Field(None, gt=0, description="learning rate, independent of batch_size")
    base_lr: float | None = Field(
        None,
        gt=0,
        description="learning rate for a batch of scale_lr_at images; multiplied by the factor "
        "that scale_lr names",
    )
    scale_lr: Literal["linear", "sqrt", "none"] = Field(
        "linear",
        description="factor for base_lr: batch_size / scale_lr_at, its square root, or 1",
    )
    scale_lr_at: int = Field(
        256, ge=1, le=1_000_000, description="batch size at which base_lr is not scaled"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay coefficient")
    weight_decay_end: float | None = Field(
        None,
        ge=0,
        description="weight decay at the end of the run, reached along a cosine; default: constant",
    )
    decay_params: Literal["all", "weights", "weights_except_embeddings"] = Field(
        "weights",
        description="parameters with weight decay: all; weights only (no biases or norm layers); "
        "or weights without position embeddings and class tokens",
    )
    layer_decay: float | None = Field(
        None,
        gt=0,
        le=1,
        description="learning rate of each backbone layer, divided by that of the next layer; "
        "default: all layers have the same rate",
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
        base = float(0.1 if self.config.base_lr is None else self.config.base_lr)
        ratio = batch_size / self.config.scale_lr_at
        # Linear: Goyal et al., arXiv:1706.02677, section 2.1.
        factors = {"linear": ratio, "sqrt": ratio**0.5, "none": 1.0}
        return base * float(factors[self.config.scale_lr])


class Scheduler(Component):
    """Base class of schedulers, which return a factor for the learning rate of each step.

    The factor must depend only on the arguments of :meth:`factor`: a scheduler has no state and is
    not saved in checkpoints.
    """

    kind: ClassVar[str] = "scheduler"

    def factor(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """Return the factor that multiplies the peak learning rate at an optimizer step.

        Args:
            step: index of the optimizer step, counted from 0.
            total_steps: number of optimizer steps in the whole run.
            steps_per_epoch: number of optimizer steps in an epoch.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not implement factor()")


class Schedule(nn.Module):
    """Base class of schedules: numbers that the host updates in every step of a run.

    Their current values are saved in checkpoints.

    Assign a schedule to an attribute in :meth:`Method.setup` and read its current value with
    ``float(self.ema_decay)``.
    """

    value: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        self.register_buffer("value", torch.tensor(float(start), dtype=torch.float64))

    def value_at(self, step: int, total_steps: int) -> float:
        """Return the value at optimizer step ``step`` (from 0) of ``total_steps``."""
        raise NotImplementedError(f"{type(self).__qualname__} does not implement value_at()")

    def set_step(self, step: int, total_steps: int) -> None:
        """Set the current value for optimizer step ``step`` (from 0) of ``total_steps``."""
        self.value.fill_(self.value_at(step, total_steps))

    def _apply(self, fn: Any, recurse: bool = True) -> Schedule:
        # Keep the scalar in float64 on the CPU when the network is moved or cast: in bfloat16 an
        # EMA decay of 0.999 would be rounded to 1.
        return self

    def __float__(self) -> float:
        return float(self.value)


@dataclass(frozen=True)
class ParamGroup:
    """Group of parameters that share a learning rate and a weight decay.

    Attributes:
        name: name of the group, for logs.
        params: (name, parameter) pairs, such as ``named_parameters()`` yields.
        lr_scale: factor for the optimizer's learning rate.
        schedule: ``scheduler`` if the learning rate follows the run's schedule, ``constant`` if
            it does not.
        weight_decay: weight decay of the group, or a schedule of it; None means the optimizer's
            weight decay.
        frozen_until: fraction of the run, from 0 to 1, during which the optimizer leaves the group
            unchanged (DINO's last layer, SwAV's prototypes). The gradients are still computed,
            because distributed training needs them.
    """

    name: str
    params: Sequence[tuple[str, nn.Parameter]]
    lr_scale: float = 1.0
    schedule: Literal["scheduler", "constant"] = "scheduler"
    weight_decay: float | Schedule | None = None
    frozen_until: float = 0.0

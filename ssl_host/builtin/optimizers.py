"""Optimizers, through torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field

from ssl_host import Optimizer, OptimizerConfig


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as the papers mean it: not Nesterov's."""

    class Config(OptimizerConfig):
        momentum: float = Field(0.9, ge=0, lt=1, description="momentum of the velocity")

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(groups), lr=1.0, momentum=self.config.momentum)


class AdamW(Optimizer):
    """Adam with decoupled weight decay: arXiv:1711.05101, algorithm 2."""

    class Config(OptimizerConfig):
        beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
        beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
        eps: float = Field(1e-8, gt=0, le=1, description="added to the denominator")

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        betas = (self.config.beta1, self.config.beta2)
        return torch.optim.AdamW(list(groups), lr=1.0, betas=betas, eps=self.config.eps)

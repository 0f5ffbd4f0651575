"""Optimizers with a rate of its own for each layer, through timm, which is slow to import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from timm.optim.lamb import Lamb
from timm.optim.lars import Lars

from ssl_host import Optimizer, OptimizerConfig


class LARS(Optimizer):
    """Layer-wise adaptive rates: arXiv:1708.03888, algorithm 1, through timm.

    The trust ratio is ``trust · ‖w‖ / (‖g‖ + wd·‖w‖)``; biases and norm layers have none, unless
    ``decay = all``.
    """

    class Config(OptimizerConfig):
        momentum: float = Field(0.9, ge=0, lt=1, description="momentum of the velocity")
        trust: float = Field(0.001, gt=0, le=1, description="trust coefficient")

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        config = self.config
        return Lars(_layerwise(groups), lr=1.0, momentum=config.momentum, trust_coeff=config.trust)


class LAMB(Optimizer):
    """Adam with layer-wise rates: arXiv:1904.00962, algorithm 2, through timm.

    timm's clipping of the global gradient norm at 1 is off; ``[trainer] gradient_clip`` is
    there for that.
    """

    class Config(OptimizerConfig):
        beta1: float = Field(0.9, ge=0, lt=1, description="decay of the first moment")
        beta2: float = Field(0.999, ge=0, lt=1, description="decay of the second moment")
        eps: float = Field(1e-6, gt=0, le=1, description="added to the denominator")

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        betas = (self.config.beta1, self.config.beta2)
        return Lamb(
            _layerwise(groups), lr=1.0, betas=betas, eps=self.config.eps, max_grad_norm=None
        )


def _layerwise(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    # timm leaves the trust ratio off where the decay is 0, of whatever parameters.
    return [{**group, "always_adapt": bool(group.get("adapts"))} for group in groups]

"""Built-in optimizers, which use the implementations of torch and timm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field

from ssl_host import Optimizer, OptimizerConfig


class SGD(Optimizer):
    """Stochastic gradient descent with classical momentum, not Nesterov momentum."""

    class Config(OptimizerConfig):
        momentum: float = Field(0.9, ge=0, lt=1, description="momentum coefficient")

    config: Config

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(groups), lr=1.0, momentum=self.config.momentum)


class AdamW(Optimizer):
    """Adam with decoupled weight decay: arXiv:1711.05101, algorithm 2."""

    class Config(OptimizerConfig):
        beta1: float = Field(
            0.9, ge=0, lt=1, description="decay rate of the running mean of the gradient"
        )
        beta2: float = Field(
            0.999, ge=0, lt=1, description="decay rate of the running mean of the squared gradient"
        )
        eps: float = Field(
            1e-8,
            gt=0,
            le=1,
            description="constant added to the denominator for numerical stability",
        )

    config: Config

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        betas = (self.config.beta1, self.config.beta2)
        return torch.optim.AdamW(list(groups), lr=1.0, betas=betas, eps=self.config.eps)


class LARS(Optimizer):
    """SGD with layer-wise learning rates: arXiv:1708.03888, algorithm 1, implemented by timm.

    The learning rate of a layer is multiplied by ``trust · ‖w‖ / (‖g‖ + wd·‖w‖)``, where w are its
    weights, g is their gradient and wd is the weight decay. The learning rate of biases and norm
    layers is not changed, unless ``decay_params = all``. With ``clip``, the rate of a layer is at
    most its trust ratio, and not multiplied by it.
    """

    class Config(OptimizerConfig):
        momentum: float = Field(0.9, ge=0, lt=1, description="momentum coefficient")
        trust: float = Field(
            0.001, gt=0, le=1, description="coefficient of the layer-wise learning rate"
        )
        clip: bool = Field(
            False, description="use the smaller of the learning rate and the trust ratio (LARC)"
        )

    config: Config

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        from timm.optim.lars import Lars  # noqa: PLC0415 - keeps checking settings fast

        config = self.config
        return Lars(
            _layerwise(groups),
            lr=1.0,
            momentum=config.momentum,
            trust_coeff=config.trust,
            trust_clip=config.clip,
        )


class LAMB(Optimizer):
    """Adam with layer-wise learning rates: arXiv:1904.00962, algorithm 2, implemented by timm.

    Gradients are not clipped, although timm by default clips them to a norm of 1; to clip them,
    set ``[trainer] gradient_clip``.
    """

    class Config(OptimizerConfig):
        beta1: float = Field(
            0.9, ge=0, lt=1, description="decay rate of the running mean of the gradient"
        )
        beta2: float = Field(
            0.999, ge=0, lt=1, description="decay rate of the running mean of the squared gradient"
        )
        eps: float = Field(
            1e-6,
            gt=0,
            le=1,
            description="constant added to the denominator for numerical stability",
        )

    config: Config

    def create(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        from timm.optim.lamb import Lamb  # noqa: PLC0415 - keeps checking settings fast

        betas = (self.config.beta1, self.config.beta2)
        return Lamb(
            _layerwise(groups), lr=1.0, betas=betas, eps=self.config.eps, max_grad_norm=None
        )


def _layerwise(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return copies of the groups with the key ``always_adapt``, which timm's optimizers read."""
    # Without this key timm uses no trust ratio in groups with a weight decay of 0.
    return [{**group, "always_adapt": bool(group.get("trust_ratio"))} for group in groups]

"""The losses of decoupled contrastive learning."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Loss, Settings, gather, gather_offset


class DCLLoss(Loss):
    """Contrastive loss without the positive in the denominator: arXiv:2110.06848, equation 6.

    ``loss(z1, z2)`` takes the embeddings (B, D) of two views, which are normalised here. Each is
    compared with the 2N - 2 embeddings of the other images, where N is the number of images in all
    processes. The loss is the mean over the 2B embeddings; the authors' code adds the means of the
    two views.
    """

    class Config(Settings):
        temperature: float = Field(0.1, gt=0, le=100, description="temperature of the softmax")

    config: Config

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        own = functional.normalize(z1, dim=1), functional.normalize(z2, dim=1)
        others = gather(own[0]), gather(own[1])
        positive = (own[0] * own[1]).sum(dim=1)
        index = torch.arange(len(z1), device=z1.device) + gather_offset(z1)
        mask = functional.one_hot(index, len(others[0])).bool().repeat(1, 2)
        attraction = -self.pair_weights(*others)[index] * positive / self.config.temperature
        losses = []
        for z in own:
            logits = (z @ torch.cat(others).T / self.config.temperature).masked_fill(mask, -1e9)
            losses.append(attraction + logits.logsumexp(dim=1))
        return torch.stack(losses).mean()

    def chance_level(self, num_images: int) -> float:
        """Return ln(2N - 2): each embedding is compared with those of the other images."""
        return math.log(2 * num_images - 2)

    def pair_weights(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Return the weight of each positive pair, (N,): all ones; ``DCLWLoss`` overrides this.

        Args:
            z1: unit embeddings (N, D) of the first view, from all processes.
            z2: unit embeddings (N, D) of the second view.
        """
        return z1.new_ones(len(z1))


class DCLWLoss(DCLLoss):
    """Loss of DCL that gives pairs of distant views more weight: arXiv:2110.06848, equation 7.

    The weights are 2 - N · softmax(similarity / ``sigma``) over the N pairs of all processes. They
    have a gradient, as in the authors' code.
    """

    class Config(DCLLoss.Config):
        sigma: float = Field(
            0.5,
            gt=0,
            le=100,
            description="temperature of the softmax that gives the weights of positive pairs",
        )

    config: Config

    def pair_weights(self, z1: Tensor, z2: Tensor) -> Tensor:
        similarity = (z1 * z2).sum(dim=1)
        return 2 - len(z1) * (similarity / self.config.sigma).softmax(dim=0)

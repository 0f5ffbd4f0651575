"""The supervised contrastive loss."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Loss, Settings, gather, gather_offset

BASE_TEMPERATURE = 0.07
"""Divisor of the temperature in the factor by which the loss is multiplied, as by the authors."""


class SupConLoss(Loss):
    """Supervised contrastive loss: arXiv:2004.11362, equation 2.

    The sum over the positives is outside the logarithm.

    ``loss(z1, z2, labels)`` takes the embeddings (B, D) of two views and the classes (B,). All
    other views of the same class, in all processes, are positives; all of them stay in the
    denominator. An image with the label -1, or without ``labels``, has only its other view as a
    positive.
    """

    class Config(Settings):
        temperature: float = Field(0.1, gt=0, le=100, description="temperature of the softmax")

    config: Config

    def forward(self, z1: Tensor, z2: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is None:
            labels = torch.full((len(z1),), -1, device=z1.device)
        own = functional.normalize(torch.cat([z1, z2]), dim=1)
        first, second = own.split(len(z1))
        others = torch.cat([gather(first), gather(second)])
        index = torch.arange(len(z1), device=z1.device) + gather_offset(z1)
        total = len(others) // 2
        all_index = torch.arange(total, device=z1.device).repeat(2)
        all_labels = gather(labels).repeat(2)
        labels, index = labels.repeat(2), index.repeat(2)
        is_same_class = (labels[:, None] == all_labels) & (labels[:, None] >= 0)
        is_positive = is_same_class | (index[:, None] == all_index)
        column = index + total * (torch.arange(len(own), device=z1.device) >= len(z1))
        is_self = functional.one_hot(column, len(others)).bool()
        logits = own @ others.T / self.config.temperature
        log_probabilities = logits.masked_fill(is_self, -1e9).log_softmax(dim=1)
        is_positive = is_positive & ~is_self
        means = (log_probabilities * is_positive).sum(dim=1) / is_positive.sum(dim=1)
        return -means.mean() * self.config.temperature / BASE_TEMPERATURE

    def chance_level(self, num_images: int) -> float:
        """Return ln(2N - 1), times the factor of the authors."""
        return math.log(2 * num_images - 1) * self.config.temperature / BASE_TEMPERATURE

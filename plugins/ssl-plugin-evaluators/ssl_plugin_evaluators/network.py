"""Frozen copies of the network, for evaluators that compute their own features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ssl_host import FeatureBank

BATCH_SIZE = 256
"""Number of images that go through the network at a time."""


@dataclass(frozen=True)
class FrozenNetwork:
    """A copy of the network in evaluation mode, with the images and how to prepare them.

    Attributes:
        encoder: the network, without gradients.
        device: the device of the network.
        train_images: the training images, uint8, (N, C, H, W).
        test_images: the held-out images, in the same form; None if there are none.
        eval_transform: function that turns images into the network's normalised input.
        train_transform: function that also crops and flips them, given their indices and the epoch.
    """

    encoder: nn.Module
    device: torch.device
    train_images: Any
    test_images: Any
    eval_transform: Callable[[Tensor], Tensor]
    train_transform: Callable[[Tensor, Tensor, int], Tensor]


def freeze_network(bank: FeatureBank) -> FrozenNetwork | None:
    """Return a frozen copy of the network, or None if some images cannot be read."""
    if (
        bank.encoder is None
        or bank.train_images is None
        or bank.eval_transform is None
        or bank.train_transform is None
    ):
        return None
    encoder = bank.encoder().eval().requires_grad_(False)
    return FrozenNetwork(
        encoder,
        next(encoder.parameters(), torch.empty(0)).device,
        bank.train_images,
        bank.test_images,
        bank.eval_transform,
        bank.train_transform,
    )

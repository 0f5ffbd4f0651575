"""Frozen copies of the network, for evaluators that compute their own features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ssl_host import FeatureBank, UserError

BATCH_SIZE = 256
"""Number of images that go through the network at a time."""
MAX_BYTES_IN_MEMORY = 2 * 2**30
"""Size in bytes above which outputs of the network are computed again whenever they are needed."""


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

    encoder: Any
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


def missing_tokens(network: FrozenNetwork) -> str:
    """Return the reason why a network has no tokens; empty if it has tokens."""
    if not hasattr(network.encoder, "tokens"):
        return "the network is not a backbone with tokens"
    try:
        image = network.eval_transform(network.train_images[:1].to(network.device))
        with torch.no_grad():
            network.encoder.tokens(image)
    except UserError as error:
        return str(error)
    return ""


class NetworkOutputs:
    """Outputs of a frozen network for images, which an index tensor selects.

    They are kept in memory if they fit into :data:`MAX_BYTES_IN_MEMORY`. Otherwise the outputs of
    the selected images are computed again each time.

    Args:
        images: the images, uint8, (N, C, H, W).
        function: function that maps a batch of images to outputs (B, ...), float32, on the CPU.
    """

    def __init__(self, images: Any, function: Callable[[Tensor], Tensor]) -> None:
        self.images = images
        self.function = function
        self.kept: Tensor | None = None
        example = function(images[:1])
        if 4 * len(images) * example.numel() <= MAX_BYTES_IN_MEMORY:
            kept = torch.empty(len(images), *example.shape[1:])
            for rows in torch.arange(len(images)).split(BATCH_SIZE):
                kept[rows] = function(images[rows])
            self.kept = kept

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor) -> Tensor:
        if self.kept is not None:
            return self.kept[index]
        return torch.cat([self.function(self.images[rows]) for rows in index.split(BATCH_SIZE)])

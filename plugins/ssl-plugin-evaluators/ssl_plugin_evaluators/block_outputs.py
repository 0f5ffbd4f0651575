"""Class token and mean of the patches after each of the last blocks of a frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host import Tokens, UserError
from ssl_plugin_evaluators.network import FrozenNetwork, missing_tokens

Pooling = Literal["token", "mean", "both"]
"""Class token, mean of the patches, or the class tokens and the mean of the last patches."""


@dataclass(frozen=True)
class BlockOutputs:
    """Reader of the pooled tokens of the last blocks.

    Attributes:
        network: the frozen network.
        num_blocks: number of last blocks n; 1 for networks without transformer blocks.
        has_class_token: True if the network has a token without a position; the first counts as
            class token.
    """

    network: FrozenNetwork
    num_blocks: int
    has_class_token: bool

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """Return class token and mean of the patches of each block, last block last.

        Every block has the final layer norm without its scale and shift, which standardised
        features do not need.

        Args:
            images: (B, C, H, W), uint8.

        Returns:
            (B, n, S, D), float32; S is 2, or 1 without a class token.
        """
        tokens = _read_tokens(self.network, images, self.num_blocks)
        blocks = list(zip(tokens.prefix_blocks, tokens.blocks, strict=True))[:-1]
        pairs = [(_normalise(prefix), _normalise(patches)) for prefix, patches in blocks]
        pairs.append((tokens.prefix, tokens.patches))
        pooled = [
            torch.cat([prefix[:, :1], patches.mean(dim=1, keepdim=True)], dim=1)
            for prefix, patches in pairs
        ]
        return torch.stack(pooled, dim=1).float().cpu()


def find_block_outputs(network: FrozenNetwork | None, num_blocks: int) -> BlockOutputs | str:
    """Return a reader of at most ``num_blocks`` last blocks, or why there can be none."""
    if network is None:
        return "some images cannot be read"
    reason = missing_tokens(network)
    if reason:
        return reason
    images = network.train_images[:1]
    try:
        tokens = _read_tokens(network, images, num_blocks)
        available = max(1, min(len(tokens.blocks), len(tokens.prefix_blocks)))
    except UserError:  # a convolutional network
        tokens, available = _read_tokens(network, images, 1), 1
    return BlockOutputs(network, available, tokens.prefix.shape[1] > 0)


def pool_blocks(outputs: Tensor, pooling: Pooling, num_blocks: int) -> Tensor:
    """Return the joined features (B, F) of the last blocks.

    Args:
        outputs: (B, n, S, D), as :meth:`BlockOutputs.read` returns them.
        pooling: which of the pooled tokens to use.
        num_blocks: number of last blocks, at most n.
    """
    last = outputs[:, -num_blocks:]
    if pooling == "both":
        return torch.cat([last[:, :, 0].flatten(1), outputs[:, -1, -1]], dim=1)
    return last[:, :, 0 if pooling == "token" else -1].flatten(1)


@torch.no_grad()
def _read_tokens(network: FrozenNetwork, images: Tensor, num_blocks: int) -> Tokens:
    """Return the tokens of images; those of one block are the output, without earlier blocks."""
    view = network.eval_transform(images.to(network.device))
    tokens: Tokens = network.encoder.tokens(view, num_blocks=num_blocks if num_blocks > 1 else 0)
    return tokens


def _normalise(tokens: Tensor) -> Tensor:
    """Return tokens (B, T, D), each with mean 0 and variance 1."""
    return functional.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)

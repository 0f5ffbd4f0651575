"""Position embeddings of timm's vision transformers: fixed ones, and other image sizes."""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from torch import Tensor, nn

from ssl_host import UserError


def set_sincos_positions(model: Any) -> None:
    """Replace the position embedding with fixed sines and cosines, as in MAE and MoCo v3.

    The positions of class token and registers are zero (arXiv:2111.06377, appendix A.1).

    Raises:
        UserError: if the model has no absolute position embedding.
    """
    if model.pos_embed is None:
        raise UserError(
            "[backbone] positions = sincos: this model has no absolute positions to replace; "
            "set positions = default"
        )
    rows, columns = model.patch_embed.grid_size
    table = build_sincos2d_pos_embed([rows, columns], model.embed_dim, interleave_sin_cos=False)
    prefix = torch.zeros(model.pos_embed.shape[1] - len(table), model.embed_dim)
    model.pos_embed = nn.Parameter(torch.cat([prefix, table])[None], requires_grad=False)


def resample_positions(name: str, tensor: Tensor, expected: Tensor) -> Tensor:
    """Return resampled position embeddings (1, T, D) of a square grid that timm left alone."""
    is_positions = "pos_embed" in name and tensor.ndim == expected.ndim == 3
    if tensor.shape == expected.shape or not is_positions:
        return tensor
    for num_prefix_tokens in range(3):
        old, new = (math.isqrt(t.shape[1] - num_prefix_tokens) for t in (tensor, expected))
        if all(
            side**2 + num_prefix_tokens == t.shape[1]
            for side, t in ((old, tensor), (new, expected))
        ):
            resampled: Tensor = resample_abs_pos_embed(
                tensor, [new, new], [old, old], num_prefix_tokens
            )
            return resampled
    return tensor

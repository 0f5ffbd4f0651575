"""Transformer that predicts masked patches from the tokens of visible ones."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from ssl_host.contracts.networks import Tokens


class MaskedDecoder(nn.Module):
    """Transformer that predicts patches from the tokens of other patches.

    It is MAE's decoder (arXiv:2111.06377, section 3) and I-JEPA's predictor (arXiv:2301.08243,
    section 3): the visible tokens are embedded, a mask token is added for each patch to predict,
    both get fixed sine-cosine position embeddings, and the outputs at the mask tokens are returned.

    Args:
        in_dim: width of the visible tokens.
        dim: width of the transformer, a multiple of 4 and of ``num_heads``.
        depth: number of blocks.
        num_heads: number of attention heads.
        output_dim: width of the predictions.

    Raises:
        ValueError: if ``dim`` is not a multiple of 4 and of ``num_heads``.
    """

    def __init__(self, in_dim: int, dim: int, depth: int, num_heads: int, output_dim: int) -> None:
        super().__init__()
        if dim % 4 or dim % num_heads:
            raise ValueError(
                f"a decoder of width {dim} with {num_heads} attention heads: the width must be a "
                "multiple of 4 and of the number of heads"
            )
        from timm.models.vision_transformer import Block  # noqa: PLC0415 - slow to import

        self.embed = nn.Linear(in_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(dim))
        self.blocks = nn.ModuleList([Block(dim, num_heads, qkv_bias=True) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, output_dim)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self, tokens: Tokens, keep: Tensor, predict: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        """Return the predictions for some patches: (B, M, ``output_dim``).

        Args:
            tokens: the encoder's tokens of the visible patches; prefix tokens have no position.
            keep: (B, K), int64, indices of the visible patches.
            predict: (B, M), int64, indices of the patches to predict.
            grid: number of rows and columns of patches.
        """
        positions = sincos_positions(grid, self.mask_token.shape[0]).to(self.mask_token)
        visible = self.embed(torch.cat([tokens.prefix, tokens.patches], dim=1))
        prefix, patches = visible.split([tokens.prefix.shape[1], tokens.patches.shape[1]], dim=1)
        queries = self.mask_token + positions[predict]
        # Positions are float32, so the residual stream is too, as in timm under autocast.
        x = torch.cat([prefix, patches + positions[keep], queries], dim=1)
        for block in self.blocks:
            x = block(x)
        predictions: Tensor = self.project(self.norm(x[:, -predict.shape[1] :]))
        return predictions


@lru_cache(maxsize=16)
def sincos_positions(grid: tuple[int, int], dim: int) -> Tensor:
    """Return fixed sine-cosine position embeddings of patches: (rows · columns, ``dim``)."""
    from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed  # noqa: PLC0415 - slow

    return build_sincos2d_pos_embed(list(grid), dim)

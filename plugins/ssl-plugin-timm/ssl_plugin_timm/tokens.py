"""Tokens of timm's vision transformers: kept and masked patches, last blocks, attention."""

from __future__ import annotations

from typing import Any

import timm
import torch
from timm.layers.hybrid_embed import HybridEmbed
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from ssl_host import Tokens, UserError

TOKEN_MODELS = (VisionTransformer, Eva)
"""Classes with tokens that can be kept and masked: ViT, DeiT, DINOv2, DINOv3, EVA02, ..."""
_MODULES = ("vision_transformer", "vision_transformer_hybrid", "deit", "eva")
"""Modules of timm in which all models are of these classes."""


def is_token_model(model_name: str) -> bool:
    """Return True if the timm model with this name is an instance of :data:`TOKEN_MODELS`."""
    return timm.models.model_entrypoint(model_name).__module__.rpartition(".")[2] in _MODULES


def pool_arguments(model_name: str, pool: str) -> dict[str, Any]:
    """Return the arguments of ``timm.create_model`` that select how tokens become features.

    timm moves the final norm after the mean of the patches. Here a model with a class token keeps
    its norm before the mean, as in the papers: predictors and decoders get normalised patches, and
    weights fit both kinds of pooling.
    """
    arguments: dict[str, Any] = {"global_pool": pool}
    if pool == "avg" and is_token_model(model_name):
        with torch.device("meta"):
            default = timm.create_model(model_name, num_classes=0)
        if default.global_pool == "token":
            name = "use_fc_norm" if isinstance(default, Eva) else "fc_norm"
            arguments[name] = False
    return arguments


def patch_size(model: Any) -> int:
    """Return the side of a model's patches in pixels, including a hybrid's convolutions."""
    ratio = model.patch_embed.feat_ratio()
    return int(ratio if isinstance(ratio, int) else ratio[0])


def vit_tokens(
    model: Any,
    images: Tensor,
    keep: Tensor | None,
    mask: Tensor | None,
    mask_token: Tensor | None,
    num_blocks: int,
) -> Tokens:
    """Return the tokens of one of :data:`TOKEN_MODELS`; see :meth:`ssl_host.Backbone.tokens`.

    Raises:
        ValueError: if ``mask`` is given without ``mask_token``.
    """
    if isinstance(model.patch_embed, HybridEmbed) and not (keep is None and mask is None):
        images = _visible_pixels(images, patch_size(model), keep, mask)
    x = model.patch_embed(images)
    if mask is not None:
        if mask_token is None:
            raise ValueError("tokens(mask=...) needs mask_token, the embedding of masked patches")
        x = torch.where(mask.view(*x.shape[:3], 1), mask_token.to(x.dtype), x)
    embedded = model._pos_embed(x)
    x, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
    if isinstance(model, VisionTransformer):
        x = model.patch_drop(x)
    num_prefix = model.num_prefix_tokens
    if keep is not None:
        kept = torch.take_along_dim(x[:, num_prefix:], keep[..., None], dim=1)
        x = torch.cat([x[:, :num_prefix], kept], dim=1)
        rope = None if rope is None else _kept_positions(model, rope, keep)
    x = model.norm_pre(x)
    outputs = []
    for i, block in enumerate(model.blocks):
        x = block(x) if rope is None else block(x, rope=rope[i] if _is_mixed(model) else rope)
        if i >= len(model.blocks) - num_blocks:
            outputs.append(x)
    x = model.norm(x)
    pooled = model.forward_head(x, pre_logits=True)
    blocks = tuple(output[:, num_prefix:] for output in outputs)
    prefixes = tuple(output[:, :num_prefix] for output in outputs)
    return Tokens(x[:, :num_prefix], x[:, num_prefix:], pooled, blocks, prefixes)


def vit_class_attention(model: Any, images: Tensor) -> Tensor:
    """Return the class token's attention in the last block of one of :data:`TOKEN_MODELS`.

    See :meth:`ssl_host.Backbone.class_attention`.

    Raises:
        UserError: if the model has no class token, or a last block of an unusual kind.
    """
    layer: Any = getattr(model.blocks[-1], "attn", None)  # parallel blocks have several or none
    if model.cls_token is None or not hasattr(layer, "attn_drop"):
        raise UserError(
            "[backbone] model: this model has no class token, or no single attention layer in its "
            "last block, so no attention of the class token"
        )
    weights: list[Tensor] = []
    hook = layer.attn_drop.register_forward_hook(lambda _, __, output: weights.append(output))
    is_fused = layer.fused_attn
    layer.fused_attn = False  # the fused kernel does not compute the weights
    try:
        model.forward_features(images)
    finally:
        hook.remove()
        layer.fused_attn = is_fused
    return weights[0][:, :, 0, model.num_prefix_tokens :]


def _visible_pixels(images: Tensor, side: int, keep: Tensor | None, mask: Tensor | None) -> Tensor:
    """Return images (B, C, H, W) with the pixels of masked or dropped patches set to 0.

    Convolutions read beyond the borders of a patch, so its neighbours would reveal its content.
    """
    grid = images.shape[-2] // side, images.shape[-1] // side
    visible = images.new_ones(len(images), grid[0] * grid[1], dtype=torch.bool)
    if keep is not None:
        visible = torch.zeros_like(visible).scatter(1, keep, True)
    if mask is not None:
        visible = visible & ~mask
    pixels = visible.view(-1, 1, *grid).repeat_interleave(side, 2).repeat_interleave(side, 3)
    return images * pixels


def _is_mixed(model: Any) -> bool:
    """Return True if a model's rotary positions are learned separately for each block."""
    return bool(getattr(model, "rope_mixed", False))


def _kept_positions(model: Any, rope: Tensor, keep: Tensor) -> Tensor:
    """Return the rotary positions of the kept patches, with a dimension for the images."""
    if _is_mixed(model):  # (depth, heads, T, dim) -> (depth, B, heads, K, dim)
        return rope[:, :, keep].transpose(1, 2)
    return rope[keep][:, None]  # (T, dim) -> (B, 1, K, dim)

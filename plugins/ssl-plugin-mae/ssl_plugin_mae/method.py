"""The MAE method."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Batch, MaskedDecoder, Method, Settings, StepOutput, full_precision, patchify


class MAE(Method):
    """MAE: a transformer reconstructs the pixels of patches that its encoder does not see.

    He et al., CVPR 2022, arXiv:2111.06377, section 3 and appendix A.1.
    """

    class Config(Settings):
        mask_ratio: float = Field(0.75, gt=0, lt=1, description="fraction of patches to leave out")
        normalise_pixels: bool = Field(
            True, description="normalise the target pixels of each patch to mean 0 and variance 1"
        )
        decoder_dim: int = Field(512, ge=4, le=65536, description="width of the decoder")
        decoder_depth: int = Field(8, ge=1, le=100, description="number of blocks of the decoder")
        decoder_heads: int = Field(
            16, ge=1, le=1024, description="number of attention heads of the decoder"
        )

    config: Config

    needs_tokens = True
    min_views = 1
    recipe = {
        "augmentation": {"name": "crop"},
        "backbone": {"name": "timm", "model": "vit_base_patch16_224", "positions": "sincos"},
        "optimizer": {"name": "adamw", "base_lr": 1.5e-4, "beta2": 0.95, "weight_decay": 0.05},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 40},
    }

    def setup(self) -> None:
        config, patch = self.config, int(self.backbone.patch_size or 0)
        pixels = patch * patch * self.backbone.in_channels
        width = self.backbone.token_dim
        self.decoder = MaskedDecoder(
            width, config.decoder_dim, config.decoder_depth, config.decoder_heads, pixels
        )

    def step(self, batch: Batch) -> StepOutput:
        images = batch.views[0]
        rows, columns = self.backbone.grid(*images.shape[-2:])
        order = batch.rng.permutation("mask", rows * columns)
        num_kept = max(1, int(rows * columns * (1 - self.config.mask_ratio)))
        keep, masked = order[:, :num_kept], order[:, num_kept:]
        tokens = self.backbone.tokens(images, keep=keep)
        predictions = self.decoder(tokens, keep, masked, (rows, columns))
        with full_precision(predictions, self._targets(images, masked)) as (predicted, target):
            loss = functional.mse_loss(predicted, target)
        return StepOutput(loss, features=tokens.pooled)

    @torch.no_grad()
    def _targets(self, images: Tensor, masked: Tensor) -> Tensor:
        """Return the pixels of the masked patches, (B, M, p · p · C), normalised if so set."""
        pixels = patchify(images, int(self.backbone.patch_size or 0))
        target = torch.take_along_dim(pixels, masked[..., None], dim=1)
        if self.config.normalise_pixels:
            mean, variance = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
            target = (target - mean) / (variance + 1e-6).sqrt()
        return target

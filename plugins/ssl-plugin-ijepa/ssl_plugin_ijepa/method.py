"""The I-JEPA method."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import (
    Backbone,
    Batch,
    LinearSchedule,
    MaskedDecoder,
    Method,
    Settings,
    StepOutput,
    block_masks,
    full_precision,
    indices_of,
)


class IJEPA(Method):
    """I-JEPA: predicts an EMA teacher's tokens of target blocks from a context block.

    Assran et al., CVPR 2023, arXiv:2301.08243, section 3 and the authors' code.

    The teacher sees the whole image; its tokens are normalised without learned scale. All images of
    a step have blocks of equal size. The authors cut the contexts of a batch to the shortest one;
    here every context keeps the number of patches that is certain to remain, so that the loss of an
    image does not depend on the other images in its batch.
    """

    class Config(Settings):
        ema_decay: float = Field(
            0.996, ge=0, le=1, description="EMA decay in the first step; rises linearly to 1"
        )
        num_targets: int = Field(4, ge=1, le=64, description="number of target blocks per image")
        target_min: float = Field(
            0.15, gt=0, lt=1, description="smallest area of a target, as a fraction of the image"
        )
        target_max: float = Field(
            0.2, gt=0, lt=1, description="largest area of a target, as a fraction of the image"
        )
        context_min: float = Field(
            0.85, gt=0, le=1, description="smallest area of the context before targets are removed"
        )
        predictor_dim: int = Field(384, ge=4, le=65536, description="width of the predictor")
        predictor_depth: int = Field(
            12, ge=1, le=100, description="number of blocks of the predictor"
        )
        predictor_heads: int = Field(
            12, ge=1, le=1024, description="number of attention heads of the predictor"
        )

    config: Config

    ema = ("backbone",)
    encoder = "ema_backbone"
    needs_tokens = True
    min_views = 1
    recipe = {
        "augmentation": {"name": "crop", "crop_min": 0.3, "flip": 0.0},
        "backbone": {
            "name": "timm",
            "model": "vit_base_patch16_224",
            "pool": "avg",
            "positions": "sincos",
        },
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.04, "weight_decay_end": 0.4},
        "scheduler": {
            "name": "warmup_cosine",
            "warmup_epochs": 40,
            "start_factor": 0.2,
            "min_factor": 0.001,
        },
    }

    ema_backbone: Backbone

    def setup(self) -> None:
        config, width = self.config, self.backbone.token_dim
        self.ema_decay = LinearSchedule(config.ema_decay, 1.0)
        self.predictor = MaskedDecoder(
            width, config.predictor_dim, config.predictor_depth, config.predictor_heads, width
        )

    def step(self, batch: Batch) -> StepOutput:
        images = batch.views[0]
        grid = self.backbone.grid(*images.shape[-2:])
        keep, targets = self._draw_blocks(batch, grid)
        with torch.no_grad():
            teacher = self.ema_backbone.tokens(images)
            with full_precision(teacher.patches) as (exact,):
                normalised = functional.layer_norm(exact, exact.shape[-1:])
        tokens = self.backbone.tokens(images, keep=keep)
        losses = []
        for target in targets:
            predictions = self.predictor(tokens, keep, target, grid)
            wanted = torch.take_along_dim(normalised, target[..., None], dim=1)
            with full_precision(predictions) as (predicted,):
                losses.append(functional.smooth_l1_loss(predicted, wanted))
        return StepOutput(torch.stack(losses).mean(), features=teacher.pooled)

    def _draw_blocks(self, batch: Batch, grid: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
        """Return the patch indices of the context, (B, K), and of each target block, (B, M)."""
        config = self.config
        scale = (config.target_min, config.target_max)
        masks = block_masks(batch.rng, grid, scale, (0.75, 1.5), config.num_targets, "target")
        context = block_masks(batch.rng, grid, (config.context_min, 1.0), name="context")[:, 0]
        targets = [indices_of(masks[:, i]) for i in range(config.num_targets)]
        free = ~masks.any(dim=1)
        # Patches of the context come first, then others that are in no target, in random order.
        order = batch.rng.permutation("keep", free.shape[1]).argsort(dim=1)
        rank = order + free.shape[1] * (2 - free.long() - (free & context).long())
        certain = int(context.sum(dim=1)[0]) - config.num_targets * targets[0].shape[1]
        num_kept = max(1, certain, free.shape[1] - config.num_targets * targets[0].shape[1])
        return rank.argsort(dim=1)[:, :num_kept].sort(dim=1).values, targets

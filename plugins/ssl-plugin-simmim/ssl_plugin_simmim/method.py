"""The SimMIM method."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from ssl_host import (
    Batch,
    Method,
    Settings,
    StepOutput,
    full_precision,
    patchify,
    random_masks,
)


class SimMIM(Method):
    """SimMIM: a linear layer reconstructs the pixels of masked patches.

    Xie et al., CVPR 2022, arXiv:2111.09886, section 3 and the authors' code.

    Masked patches are replaced by a mask token, so the encoder sees all positions. Masks consist of
    square cells, which may be larger than a patch.
    """

    class Config(Settings):
        mask_ratio: float = Field(0.6, gt=0, lt=1, description="fraction of cells to mask")
        mask_cell: int = Field(
            2,
            ge=1,
            le=256,
            description="side of a masked cell in patches; the paper's cells have 32 pixels",
        )

    config: Config

    needs_tokens = True
    min_views = 1
    recipe = {
        "augmentation": {"name": "crop", "crop_min": 0.67},
        "backbone": {
            "name": "timm",
            "model": "vit_base_patch16_224",
            "pool": "avg",
            "drop_path": 0.1,
        },
        "optimizer": {
            "name": "adamw",
            "base_lr": 1e-4,
            "scale_lr_at": 512,
            "weight_decay": 0.05,
            "decay_params": "weights_except_embeddings",
        },
        "scheduler": {"name": "multistep", "warmup_epochs": 10, "milestones": [700]},
        "trainer": {"gradient_clip": 5.0},
    }

    def setup(self) -> None:
        patch = int(self.backbone.patch_size or 0)
        self.mask_token = nn.Parameter(torch.zeros(self.backbone.embed_dim))
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        self.decoder = nn.Linear(self.backbone.token_dim, patch * patch * self.backbone.in_channels)

    def step(self, batch: Batch) -> StepOutput:
        images = batch.views[0]
        patch = int(self.backbone.patch_size or 0)
        rows, columns = self.backbone.grid(*images.shape[-2:])
        side = self.config.mask_cell
        cells = math.ceil(rows / side), math.ceil(columns / side)
        count = math.ceil(cells[0] * cells[1] * self.config.mask_ratio)
        coarse = random_masks(batch.rng, cells[0] * cells[1], count / (cells[0] * cells[1]))
        mask = coarse.view(-1, *cells).repeat_interleave(side, 1).repeat_interleave(side, 2)
        mask = mask[:, :rows, :columns].flatten(1)
        tokens = self.backbone.tokens(images, mask=mask, mask_token=self.mask_token)
        predictions = self.decoder(tokens.patches)
        with full_precision(predictions, patchify(images, patch)) as (predicted, target):
            errors = (predicted - target).abs().mean(dim=-1)
            loss = errors[mask].mean()
        return StepOutput(loss, features=tokens.pooled)

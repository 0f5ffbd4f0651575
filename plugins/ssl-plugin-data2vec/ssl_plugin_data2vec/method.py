"""The data2vec method."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from ssl_host import (
    Backbone,
    Batch,
    ConstantSchedule,
    Method,
    Settings,
    StepOutput,
    blockwise_masks,
    full_precision,
)


class Data2Vec(Method):
    """data2vec: predicts the mean of an EMA teacher's last blocks at the masked patches.

    Baevski et al., ICML 2022, arXiv:2202.03555, sections 3.3 and 3.4, and the authors' code.

    The teacher sees the whole image. The outputs of its last blocks are normalised, averaged and
    normalised again, without learned scale.
    """

    class Config(Settings):
        ema_decay: float = Field(0.9998, ge=0, le=1, description="EMA decay of the teacher")
        num_blocks: int = Field(
            6,
            ge=1,
            le=100,
            description="number of the teacher's last blocks; their mean is learned",
        )
        mask_ratio: float = Field(
            0.6, gt=0, lt=1, description="fraction of patches to mask: 120 of 196 in the paper"
        )
        min_block: int = Field(
            16, ge=1, le=65536, description="smallest number of patches in a masked block"
        )
        beta: float = Field(
            2.0, gt=0, le=100, description="error at which the loss changes from squared to linear"
        )

    config: Config

    ema = ("backbone",)
    needs_tokens = True
    min_views = 1
    recipe = {
        "augmentation": {
            "name": "crop",
            "crop_min": 0.08,
            "jitter": 1.0,
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.4,
        },
        "backbone": {
            "name": "timm",
            "model": "vit_base_patch16_224",
            "pool": "avg",
            "drop_path": 0.25,
        },
        "optimizer": {
            "name": "adamw",
            "lr": 2e-3,
            "weight_decay": 0.05,
            "decay_params": "weights_except_embeddings",
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10, "min_factor": 0.005},
        "trainer": {"gradient_clip": 3.0},
    }

    ema_backbone: Backbone

    def setup(self) -> None:
        width = self.backbone.token_dim
        self.ema_decay = ConstantSchedule(self.config.ema_decay)
        self.mask_token = nn.Parameter(torch.empty(self.backbone.embed_dim))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.regressor = nn.Linear(width, width)

    def step(self, batch: Batch) -> StepOutput:
        images = batch.views[0]
        rows, columns = self.backbone.grid(*images.shape[-2:])
        count = round(rows * columns * self.config.mask_ratio)
        mask = blockwise_masks(batch.rng, (rows, columns), count, self.config.min_block)
        with torch.no_grad():
            teacher = self.ema_backbone.tokens(images, num_blocks=self.config.num_blocks)
            with full_precision(*teacher.blocks) as blocks:
                normalised = [functional.layer_norm(b, b.shape[-1:]) for b in blocks]
                mean = torch.stack(normalised).mean(dim=0)
                target = functional.layer_norm(mean, mean.shape[-1:])
        tokens = self.backbone.tokens(images, mask=mask, mask_token=self.mask_token)
        with full_precision(self.regressor(tokens.patches[mask])) as (predicted,):
            loss = functional.smooth_l1_loss(predicted, target[mask], beta=self.config.beta)
        return StepOutput(loss, features=tokens.pooled)

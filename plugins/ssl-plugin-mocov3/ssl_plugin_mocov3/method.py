"""The MoCo v3 method."""

from __future__ import annotations

import torch
from pydantic import Field

from ssl_host import Backbone, Batch, CosineSchedule, Head, Method, Settings, StepOutput

MLP = {"hidden_dim": 4096, "bias": False, "last_norm": True, "last_affine": False}


class MoCoV3(Method):
    """MoCo v3: contrasts the predictions of one view with an EMA network's keys of the other.

    Chen et al., ICCV 2021, arXiv:2104.02057, algorithm 1 and the authors' code.

    The loss is symmetrised and scaled by 2τ. The host updates the EMA network after the optimizer
    step; the authors do so between the forward passes of the next step, which is equivalent. The
    recipe is the one for ViTs, whose random patch embedding stays frozen (section 4.2).
    """

    class Config(Settings):
        ema_decay: float = Field(
            0.99, ge=0, le=1, description="EMA decay in the first step; rises to 1 over the run"
        )
        freeze_patch_embedding: bool = Field(
            True, description="do not train the patch embedding of a vision transformer"
        )

    config: Config

    heads = {"projector": "backbone", "predictor": "projector"}
    ema = ("backbone", "projector")
    recipe = {
        "augmentation": {"name": "byol"},
        "backbone": {"name": "timm", "model": "vit_small_patch16_224", "positions": "sincos"},
        "head.projector": {**MLP, "num_layers": 3, "output_dim": 256},
        "head.predictor": {**MLP, "num_layers": 2, "output_dim": "${head.projector.output_dim}"},
        "loss": {"name": "info_nce", "temperature": 0.2},
        "optimizer": {
            "name": "adamw",
            "base_lr": 1.5e-4,
            "weight_decay": 0.1,
            "decay_params": "all",
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 40},
    }

    projector: Head
    predictor: Head
    ema_backbone: Backbone
    ema_projector: Head

    def setup(self) -> None:
        self.ema_decay = CosineSchedule(self.config.ema_decay, 1.0)
        if self.config.freeze_patch_embedding and self.backbone.patch_size is not None:
            self.backbone.patch_embedding().requires_grad_(False)

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        q1, q2 = self.predictor(self.projector(h1)), self.predictor(self.projector(h2))
        with torch.no_grad():
            k1, k2 = (self.ema_projector(self.ema_backbone(v)) for v in batch.views)
        scale = 2 * self.loss.config.temperature
        loss = scale * (self.loss(q1, k2) + self.loss(q2, k1))
        return StepOutput(loss, features=h1)

    def chance_level(self, num_images: int) -> float | None:
        level = self.loss.chance_level(num_images)
        return None if level is None else 4 * self.loss.config.temperature * level

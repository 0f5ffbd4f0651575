"""The TiCo method."""

from __future__ import annotations

import torch
from pydantic import Field

from ssl_host import Backbone, Batch, CosineSchedule, Head, Method, Settings, StepOutput

from .loss import MovingCovariance


class TiCo(Method):
    """TiCo: matches an EMA network's embedding of the other view, with a covariance contrast.

    Zhu et al. 2022, arXiv:2206.10698, equations 4 and 5.

    The covariance includes the batch of the step. The recipe is that of lightly's benchmarks.
    """

    class Config(Settings):
        ema_decay: float = Field(
            0.99, ge=0, le=1, description="EMA decay in the first step; rises to 1 over the run"
        )
        covariance_decay: float = Field(
            0.9, ge=0, le=1, description="weight β of the previous covariance in its average"
        )

    config: Config

    heads = {"projector": "backbone"}
    ema = ("backbone", "projector")
    recipe = {
        "augmentation": {"name": "byol"},
        "head.projector": {"hidden_dim": 4096, "output_dim": 256},
        "loss": {"name": "tico"},
        "optimizer": {"name": "lars", "base_lr": 0.2, "weight_decay": 1.5e-6},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }

    projector: Head
    ema_backbone: Backbone
    ema_projector: Head

    def setup(self) -> None:
        self.ema_decay = CosineSchedule(self.config.ema_decay, 1.0)
        width = self.projector.output_dim
        self.covariance = MovingCovariance(width, self.config.covariance_decay)

    def step(self, batch: Batch) -> StepOutput:
        first, second = batch.views
        features = self.backbone(first)
        z = self.projector(features)
        with torch.no_grad():
            target = self.ema_projector(self.ema_backbone(second))
        loss = self.loss(z, target, self.covariance.updated(z))
        return StepOutput(loss, features=features, enqueue={"covariance": z})

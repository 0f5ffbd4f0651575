"""The BYOL method."""

from __future__ import annotations

import torch
from pydantic import Field

from ssl_host import Backbone, Batch, CosineSchedule, Head, Method, Settings, StepOutput

# The last layer has no bias and no batch norm (section 3.3 and the authors' code).
MLP = {"hidden_dim": 4096, "num_layers": 2, "bias": False}


class BYOL(Method):
    """BYOL: predicts the output of an EMA network for the other view, without negatives.

    Grill et al., NeurIPS 2020, arXiv:2006.07733, equations 1 to 3.

    In the EMA networks, only parameters are averaged; the batch norms run in training mode and
    compute separate statistics. The recipe follows the paper's 100-epoch runs.
    """

    class Config(Settings):
        ema_decay: float = Field(
            0.99, ge=0, le=1, description="EMA decay in the first step; rises to 1 over the run"
        )

    config: Config

    heads = {"projector": "backbone", "predictor": "projector"}
    ema = ("backbone", "projector")
    recipe = {
        "augmentation": {"name": "byol"},
        "head.projector": {**MLP, "output_dim": 256},
        "head.predictor": {**MLP, "output_dim": "${head.projector.output_dim}"},
        "loss": {"name": "negative_cosine"},
        "optimizer": {"name": "lars", "base_lr": 0.45, "weight_decay": 1e-6},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }

    projector: Head
    predictor: Head
    ema_backbone: Backbone
    ema_projector: Head

    def setup(self) -> None:
        self.ema_decay = CosineSchedule(self.config.ema_decay, 1.0)

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        p1, p2 = self.predictor(self.projector(h1)), self.predictor(self.projector(h2))
        with torch.no_grad():
            t1, t2 = (self.ema_projector(self.ema_backbone(v)) for v in batch.views)
        # self.loss is the negative cosine; each direction adds 2 − 2 cos (equations 2 and 3).
        loss = 4 + 2 * self.loss(p1, t2) + 2 * self.loss(p2, t1)
        return StepOutput(loss, features=h1)

    def chance_level(self, num_images: int) -> float | None:
        level = self.loss.chance_level(num_images)
        return None if level is None else 4 + 4 * level

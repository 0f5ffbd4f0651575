"""The methods NNSiam and NNBYOL."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field

from ssl_host import (
    Backbone,
    Batch,
    CosineSchedule,
    FeatureQueue,
    Head,
    Method,
    ParamGroup,
    Settings,
    StepOutput,
)

MLP = {"hidden_dim": 4096, "output_dim": "${head.projector.output_dim}"}


class QueueSettings(Settings):
    """Settings of the queue that is searched for neighbours."""

    queue_size: int = Field(
        65_536, ge=1, le=10_000_000, description="number of past embeddings in the queue"
    )


class NNSiam(Method):
    """NNSiam: SimSiam that predicts the nearest neighbour of the other view in a queue.

    Dwibedi et al., ICCV 2021, arXiv:2104.14548, section 4.4, and solo-learn's code.

    The embeddings of the first view are added to the queue after the step.
    """

    class Config(QueueSettings):
        """Settings of the method."""

    config: Config

    heads = {"projector": "backbone", "predictor": "projector"}
    recipe = {
        "augmentation": {"name": "byol"},
        "head.projector": {
            "hidden_dim": 2048,
            "output_dim": 2048,
            "num_layers": 3,
            "last_norm": True,
            "last_affine": False,
        },
        "head.predictor": MLP,
        "loss": {"name": "negative_cosine"},
        "optimizer": {"name": "sgd", "base_lr": 0.5, "weight_decay": 1e-5, "decay_params": "all"},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }

    projector: Head
    predictor: Head

    def setup(self) -> None:
        self.queue = FeatureQueue(self.config.queue_size, self.projector.output_dim)

    def param_groups(self) -> Iterable[ParamGroup]:
        yield ParamGroup("encoder", list(self.trainable_parameters("backbone", "projector")))
        predictor = list(self.trainable_parameters("predictor"))
        yield ParamGroup("predictor", predictor, schedule="constant")

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        z1, z2 = self.projector(h1), self.projector(h2)
        n1, n2 = self.queue.nearest(z1), self.queue.nearest(z2)
        loss = (self.loss(self.predictor(z1), n2) + self.loss(self.predictor(z2), n1)) / 2
        return StepOutput(loss, features=h1, enqueue={"queue": z1})

    def chance_level(self, num_images: int) -> float | None:
        return self.loss.chance_level(num_images)


class NNBYOL(Method):
    """NNBYOL: BYOL that predicts the nearest neighbour of the EMA network's output in a queue.

    Dwibedi et al., ICCV 2021, arXiv:2104.14548, section 4.4, and solo-learn's code.

    The EMA network's embeddings of the first view are added to the queue after the step.
    """

    class Config(QueueSettings):
        ema_decay: float = Field(
            0.99, ge=0, le=1, description="EMA decay in the first step; rises to 1 over the run"
        )

    config: Config

    heads = {"projector": "backbone", "predictor": "projector"}
    ema = ("backbone", "projector")
    recipe = {
        "augmentation": {"name": "byol"},
        "head.projector": {"hidden_dim": 4096, "output_dim": 256},
        "head.predictor": MLP,
        "loss": {"name": "negative_cosine"},
        "optimizer": {
            "name": "lars",
            "base_lr": 1.0,
            "trust": 0.02,
            "clip": True,
            "weight_decay": 1e-5,
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }

    projector: Head
    predictor: Head
    ema_backbone: Backbone
    ema_projector: Head

    def setup(self) -> None:
        self.ema_decay = CosineSchedule(self.config.ema_decay, 1.0)
        self.queue = FeatureQueue(self.config.queue_size, self.projector.output_dim)

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        p1, p2 = self.predictor(self.projector(h1)), self.predictor(self.projector(h2))
        with torch.no_grad():
            t1, t2 = (self.ema_projector(self.ema_backbone(view)) for view in batch.views)
            n1, n2 = self.queue.nearest(t1), self.queue.nearest(t2)
        # self.loss is the negative cosine; each direction adds 2 - 2 cos, as in BYOL.
        loss = 4 + 2 * self.loss(p1, n2) + 2 * self.loss(p2, n1)
        return StepOutput(loss, features=h1, enqueue={"queue": t1})

    def chance_level(self, num_images: int) -> float | None:
        level = self.loss.chance_level(num_images)
        return None if level is None else 4 + 4 * level

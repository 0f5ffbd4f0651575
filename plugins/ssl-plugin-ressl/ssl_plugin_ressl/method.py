"""The ReSSL method."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import (
    Backbone,
    Batch,
    ConstantSchedule,
    FeatureQueue,
    Head,
    Method,
    Settings,
    StepOutput,
    full_precision,
)


class ReSSL(Method):
    """ReSSL: predicts a weakly augmented view's similarities with a queue of past embeddings.

    Zheng et al., NeurIPS 2021, arXiv:2107.09282, equations 3 to 5 and the authors' code.

    The teacher sees the first view, the student the second. The host updates the EMA network after
    the optimizer step; the authors do so between the forward passes of the next step, which is
    equivalent.
    """

    class Config(Settings):
        queue_size: int = Field(
            131_072, ge=1, le=10_000_000, description="number of past embeddings in the queue"
        )
        ema_decay: float = Field(0.999, ge=0, le=1, description="EMA decay of the teacher")
        temperature: float = Field(
            0.1, gt=0, le=100, description="temperature of the student's softmax"
        )
        teacher_temperature: float = Field(
            0.04, gt=0, le=100, description="temperature of the teacher's softmax"
        )

    config: Config

    heads = {"projector": "backbone"}
    ema = ("backbone", "projector")
    sync_batchnorm = False
    recipe = {
        "augmentation": {"name": "weak_strong"},
        "head.projector": {"hidden_dim": 4096, "output_dim": 512, "hidden_norm": False},
        "optimizer": {"name": "sgd", "lr": 0.05, "weight_decay": 1e-4},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 5},
    }

    projector: Head
    ema_backbone: Backbone
    ema_projector: Head

    def setup(self) -> None:
        self.ema_decay = ConstantSchedule(self.config.ema_decay)
        self.queue = FeatureQueue(self.config.queue_size, self.projector.output_dim)

    def step(self, batch: Batch) -> StepOutput:
        weak, strong = batch.views
        with torch.no_grad():
            key = self.ema_projector(self.ema_backbone(weak))
        features = self.backbone(strong)
        query = self.projector(features)
        with full_precision(query, key) as (student, teacher):
            targets = self._similarities(teacher) / self.config.teacher_temperature
            logits = self._similarities(student) / self.config.temperature
            loss = functional.cross_entropy(logits, targets.softmax(dim=1))
        return StepOutput(loss, features=features, enqueue={"queue": key})

    def chance_level(self, num_images: int) -> float:
        return math.log(self.config.queue_size)

    def _similarities(self, rows: Tensor) -> Tensor:
        """Return the cosine similarities of rows (B, D) with the queue, (B, K)."""
        return functional.normalize(rows, dim=1) @ self.queue.rows.to(rows.dtype).T

"""Distillation of a frozen pretrained backbone."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import Backbone, Batch, FeatureQueue, Method, Settings, StepOutput, full_precision


class Distill(Method):
    """Distillation: a student learns similarities and tokens of a frozen pretrained teacher.

    It follows lightly-train's distillation (https://github.com/lightly-ai/lightly-train).

    The student imitates the teacher's softmax over the similarities with a queue of earlier teacher
    features. Optionally, the student's tokens, resized to the teacher's grid, also imitate the
    teacher's patch tokens.
    """

    class Config(Settings):
        similarity: float = Field(
            1.0, ge=0, le=1000, description="weight of the loss on similarities with the queue"
        )
        tokens: float = Field(0.0, ge=0, le=1000, description="weight of the loss on patch tokens")
        temperature: float = Field(0.07, gt=0, le=100, description="temperature of the softmax")
        queue_size: int = Field(
            8192, ge=2, le=10_000_000, description="number of teacher features in the queue"
        )

    config: Config

    frozen = ("teacher",)
    min_views = 1
    recipe = {
        "augmentation": {
            "name": "crop",
            "crop_min": 0.14,
            "jitter": 0.8,
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.4,
            "hue": 0.1,
            "grayscale": 0.2,
        },
        "backbone": {"name": "timm", "model": "resnet18"},
        "backbone.teacher": {
            "name": "timm",
            "model": "vit_small_patch14_reg4_dinov2",
            "pretrained": True,
        },
        "optimizer": {
            "name": "lars",
            "base_lr": 1.8,
            "scale_lr": "sqrt",
            "scale_lr_at": 1536,
            "weight_decay": 1e-6,
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
        "trainer": {"gradient_clip": 1.0},
    }

    teacher: Backbone

    def setup(self) -> None:
        self.queue = FeatureQueue(self.config.queue_size, self.teacher.feature_dim)
        self.project = nn.Linear(self.backbone.feature_dim, self.teacher.feature_dim)
        nn.init.trunc_normal_(self.project.weight, std=0.02)
        nn.init.zeros_(self.project.bias)
        if self.config.tokens:
            self.project_tokens = nn.Linear(self.backbone.token_dim, self.teacher.token_dim)

    def config_warnings(self, num_processes: int) -> Iterable[str]:
        if not (self.config.similarity or self.config.tokens):
            yield "[method] similarity = 0 and tokens = 0: nothing is learned; set one above 0"

    def step(self, batch: Batch) -> StepOutput:
        view = batch.views[0]
        with torch.no_grad():
            teacher = self._encode(self.teacher, self.teacher.normalised_for(view))
        student = self._encode(self.backbone, view)
        loss = self.config.similarity * self._similarity_loss(student[0], teacher[0])
        if self.config.tokens:
            loss = loss + self.config.tokens * self._token_loss(student[1], teacher[1])
        return StepOutput(loss, features=student[0], enqueue={"queue": teacher[0]})

    def _encode(self, network: Backbone, view: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, D) and patch tokens (B, T, D), or features as one token if unused."""
        if not self.config.tokens:
            features = network(view)
            return features, features[:, None]
        tokens = network.tokens(view)
        return tokens.pooled, tokens.patches

    def _similarity_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the KL divergence between teacher's and student's similarities with the queue."""
        with full_precision(self.project(student), teacher) as (predicted, target):
            rows = self.queue.rows.to(target.dtype)
            logits = functional.normalize(predicted, dim=1) @ rows.T / self.config.temperature
            wanted = functional.normalize(target, dim=1) @ rows.T / self.config.temperature
            return functional.kl_div(
                logits.log_softmax(dim=1),
                wanted.log_softmax(dim=1),
                reduction="batchmean",
                log_target=True,
            )

    def _token_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean squared error of the patch tokens, on the teacher's grid."""
        predicted = self.project_tokens(student)
        if predicted.shape[1] != teacher.shape[1]:
            side, wanted = (int(t.shape[1] ** 0.5) for t in (predicted, teacher))
            maps = predicted.transpose(1, 2).unflatten(2, (side, side))
            maps = functional.interpolate(maps, size=(wanted, wanted), mode="bilinear")
            predicted = maps.flatten(2).transpose(1, 2)
        with full_precision(predicted, teacher) as (exact, target):
            return functional.mse_loss(exact, target)

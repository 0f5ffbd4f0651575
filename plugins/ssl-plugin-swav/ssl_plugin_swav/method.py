"""The SwAV method."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from ssl_host import (
    Batch,
    FeatureQueue,
    Head,
    Method,
    Settings,
    StepOutput,
    encode_views,
    frozen_prototypes_warnings,
    full_precision,
)


class SwAV(Method):
    """SwAV: predicts the cluster assignments of a view from the other views of the image.

    Caron et al., NeurIPS 2020, arXiv:2006.09882, section 3 and the authors' code.

    Prototypes are trained, have unit length, and are used equally by the images of a batch. For
    batches smaller than the number of prototypes, a queue for each full-size view adds earlier
    embeddings to the assignment, once it is full.
    """

    class Config(Settings):
        num_prototypes: int = Field(3000, ge=2, le=1_000_000, description="number of prototypes")
        queue_size: int = Field(
            0,
            ge=0,
            le=10_000_000,
            description="number of earlier embeddings in the queue of each full-size view; 0: no "
            "queues",
        )
        queue_start_epoch: int = Field(
            15,
            ge=0,
            le=1_000_000,
            description="first epoch, counted from 0, in which embeddings are added to the queues",
        )
        freeze_prototypes_epochs: float = Field(
            1.0,
            ge=0,
            le=1e6,
            description="number of epochs at the start in which the prototypes are not trained",
        )

    config: Config

    heads = {"projector": "backbone"}
    supports_multicrop = True
    recipe = {
        "augmentation": {"name": "multicrop", "local_size": 96, "interpolation": "bilinear"},
        "backbone": {"name": "timm", "model": "resnet50"},
        "head.projector": {"hidden_dim": 2048, "output_dim": 128},
        "loss": {"name": "swav"},
        "optimizer": {"name": "lars", "lr": 4.8, "weight_decay": 1e-6, "decay_params": "all"},
        "scheduler": {
            "name": "warmup_cosine",
            "warmup_epochs": 10,
            "start_factor": 0.0625,
            "min_factor": 0.001,
        },
    }

    projector: Head

    def setup(self) -> None:
        config, width = self.config, self.projector.output_dim
        self.prototypes = nn.Linear(width, config.num_prototypes, bias=False)
        if config.queue_size:
            self.queue0 = FeatureQueue(config.queue_size, width)
            self.queue1 = FeatureQueue(config.queue_size, width, seed=1)
        self.after_optimizer_step()

    def config_warnings(self, num_processes: int) -> Iterable[str]:
        config, images = self.config, self.plan.batch_size + self.config.queue_size
        if images < config.num_prototypes:
            yield (
                f"[method] num_prototypes = {config.num_prototypes}: {images} images cannot use "
                "that many equally; use fewer prototypes, a larger batch_size, or a queue_size"
            )
        yield from frozen_prototypes_warnings(config.freeze_prototypes_epochs, self.plan)

    def step(self, batch: Batch) -> StepOutput:
        features = encode_views(self.backbone, batch.views)
        with full_precision(self.projector(torch.cat(features))) as (projected,):
            z = functional.normalize(projected, dim=1)
            prototypes = self.prototypes.weight.to(z.dtype)
            scores = (z @ prototypes.T).split(len(batch.index))
            queues = (self.queue0, self.queue1) if self._has_full_queues() else ()
            queued = [queue.rows.to(z.dtype) @ prototypes.T.detach() for queue in queues]
        enqueue = {}
        if self.config.queue_size and self.progress.epoch >= self.config.queue_start_epoch:
            first, second = z.split(len(batch.index))[:2]
            enqueue = {"queue0": first, "queue1": second}
        loss = self.loss(*scores, queued=queued)
        return StepOutput(loss, features=features[0], enqueue=enqueue)

    def chance_level(self, num_images: int) -> float:
        return math.log(self.config.num_prototypes)

    def _has_full_queues(self) -> bool:
        """Return True if queues are used and contain none of their initial random vectors."""
        return bool(self.config.queue_size) and int(self.queue0.pushed) >= len(self.queue0)

    def before_optimizer_step(self) -> None:
        if self.progress.epoch < self.config.freeze_prototypes_epochs:
            self.prototypes.weight.grad = None

    @torch.no_grad()
    def after_optimizer_step(self) -> None:
        weight = self.prototypes.weight
        weight.copy_(functional.normalize(weight, dim=1))

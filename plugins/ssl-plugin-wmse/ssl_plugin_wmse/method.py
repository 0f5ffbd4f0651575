"""The W-MSE method."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field

from ssl_host import Batch, Head, Method, Settings, StepOutput


class WMSE(Method):
    """W-MSE: matches the embeddings of two views after whitening them.

    Ermolov et al., ICML 2021, arXiv:2007.06346, section 3.

    The recipe is the authors' for CIFAR-10, with AdamW and a cosine schedule.
    """

    class Config(Settings):
        num_permutations: int = Field(
            1,
            ge=1,
            le=100,
            description="number of random divisions into sub-batches; the loss is averaged over "
            "them",
        )

    config: Config

    heads = {"projector": "backbone"}
    recipe = {
        "augmentation": {"name": "symmetric_weak", "grayscale": 0.1, "blur": 0.0},
        "backbone": {"name": "timm", "model": "resnet18"},
        "head.projector": {"hidden_dim": 1024, "output_dim": 64},
        "loss": {"name": "w_mse"},
        "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 1e-6, "decay_params": "all"},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }

    projector: Head

    def config_warnings(self, num_processes: int) -> Iterable[str]:
        images = min(self.loss.config.sub_batch, self.plan.batch_size)
        if images <= self.projector.output_dim and not self.loss.config.epsilon:
            yield (
                f"[loss] sub_batch: {images} images cannot whiten {self.projector.output_dim} "
                "columns; use a sub_batch and a batch_size of at least twice [head.projector] "
                "output_dim, or set [loss] epsilon"
            )

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        z1, z2 = self.projector(h1), self.projector(h2)
        orders = batch.rng.integers("order", 2**63 - 1, count=self.config.num_permutations)
        losses = [self.loss(z1, z2, order) for order in orders.unbind(dim=1)]
        return StepOutput(torch.stack(losses).mean(), features=h1)

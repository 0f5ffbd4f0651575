"""The SimCLR method."""

from __future__ import annotations

from ssl_host import Batch, Head, Method, StepOutput


class SimCLR(Method):
    """SimCLR: contrasts each view with all other views in the batch.

    Chen et al., ICML 2020, arXiv:2002.05709, algorithm 1.

    The recipe follows the paper's ImageNet runs. The projection head follows the official code,
    with batch norm after both layers.
    """

    heads = {"projector": "backbone"}
    recipe = {
        "augmentation": {"name": "simclr"},
        "head.projector": {
            "hidden_dim": 2048,
            "output_dim": 128,
            "num_layers": 2,
            "last_norm": True,
        },
        "loss": {"name": "nt_xent", "temperature": 0.1},
        "optimizer": {"name": "lars", "base_lr": 0.3, "weight_decay": 1e-6},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }

    projector: Head

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        loss = self.loss(self.projector(h1), self.projector(h2))
        return StepOutput(loss, features=h1)

    def chance_level(self, num_images: int) -> float | None:
        return self.loss.chance_level(num_images)

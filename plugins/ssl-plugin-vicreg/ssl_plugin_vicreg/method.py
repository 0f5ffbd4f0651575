"""The VICReg method."""

from __future__ import annotations

from ssl_host import Batch, Head, Method, StepOutput


class VICReg(Method):
    """VICReg: pulls two views together and keeps embeddings varied and uncorrelated.

    Bardes et al., ICLR 2022, arXiv:2105.04906, with the recipe of the authors' code.
    """

    heads = {"projector": "backbone"}
    recipe = {
        "augmentation": {"name": "byol"},
        "head.projector": {
            "hidden_dim": 8192,
            "output_dim": 8192,
            "num_layers": 3,
            "bias": False,
        },
        "loss": {"name": "vicreg"},
        "optimizer": {"name": "lars", "base_lr": 0.2, "weight_decay": 1e-6},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10, "min_factor": 0.001},
    }

    projector: Head

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        return StepOutput(self.loss(self.projector(h1), self.projector(h2)), features=h1)

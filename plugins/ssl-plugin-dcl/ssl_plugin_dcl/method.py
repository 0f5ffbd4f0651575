"""The methods DCL and DCLW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_host import Batch, Head, Method, StepOutput

RECIPE: Mapping[str, Mapping[str, Any]] = {
    "augmentation": {"name": "simclr"},
    "head.projector": {
        "hidden_dim": 2048,
        "output_dim": 128,
        "num_layers": 2,
        "last_norm": True,
    },
    "optimizer": {
        "name": "lars",
        "base_lr": 1.2,
        "scale_lr": "sqrt",
        "weight_decay": 1e-6,
    },
    "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
}


class DCL(Method):
    """DCL: contrasts each view with the other images, without the positive in the denominator.

    Yeh et al., ECCV 2022, arXiv:2110.06848, section 3.

    The recipe is that of SimCLR, with the learning rate of lightly's benchmarks.
    """

    heads = {"projector": "backbone"}
    recipe = {**RECIPE, "loss": {"name": "dcl", "temperature": 0.1}}

    projector: Head

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        return StepOutput(self.loss(self.projector(h1), self.projector(h2)), features=h1)

    def chance_level(self, num_images: int) -> float | None:
        return self.loss.chance_level(num_images)


class DCLW(DCL):
    """DCLW: decoupled contrastive learning that gives pairs of distant views more weight.

    Yeh et al., ECCV 2022, arXiv:2110.06848, equation 7.
    """

    recipe = {**RECIPE, "loss": {"name": "dclw", "temperature": 0.1}}

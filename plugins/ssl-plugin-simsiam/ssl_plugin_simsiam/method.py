"""The SimSiam method."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from ssl_host import Batch, Head, Method, ParamGroup, Settings, StepOutput


class SimSiam(Method):
    """SimSiam: predicts one view from the other, without negatives or an EMA network.

    Chen & He, CVPR 2021, arXiv:2011.10566, algorithm 1.

    Weight decay applies to all parameters, including batch norms and biases, as in the authors'
    code.
    """

    class Config(Settings):
        fix_predictor_lr: bool = Field(
            True,
            description="keep the predictor's learning rate constant; in table 1 of the paper this "
            "raises the accuracy from 67.7% to 68.1%",
        )

    config: Config

    heads = {"projector": "backbone", "predictor": "projector"}
    recipe = {
        "augmentation": {"name": "symmetric_weak"},
        "head.projector": {
            "hidden_dim": 2048,
            "output_dim": 2048,
            "num_layers": 3,
            "last_norm": True,
            "last_affine": False,
        },
        "head.predictor": {
            "hidden_dim": 512,
            "output_dim": "${head.projector.output_dim}",
            "num_layers": 2,
        },
        "loss": {"name": "negative_cosine"},
        "optimizer": {"name": "sgd", "base_lr": 0.05, "weight_decay": 1e-4, "decay_params": "all"},
    }

    projector: Head
    predictor: Head

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        z1, z2 = self.projector(h1), self.projector(h2)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        loss = (self.loss(p1, z2.detach()) + self.loss(p2, z1.detach())) / 2
        return StepOutput(loss, features=h1)

    def chance_level(self, num_images: int) -> float | None:
        return self.loss.chance_level(num_images)

    def param_groups(self) -> Iterable[ParamGroup]:
        yield ParamGroup("encoder", list(self.trainable_parameters("backbone", "projector")))
        yield ParamGroup(
            "predictor",
            list(self.trainable_parameters("predictor")),
            schedule="constant" if self.config.fix_predictor_lr else "scheduler",
        )

"""The Barlow Twins method."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from ssl_host import Batch, Head, Method, ParamGroup, Settings, StepOutput


class BarlowTwins(Method):
    """Barlow Twins: makes the cross-correlation of the embeddings of two views the identity.

    Zbontar et al., ICML 2021, arXiv:2103.03230, algorithm 1.

    The learning rates come from the authors' code, for a batch size of 256: 0.2 for weights and
    0.0048 for biases and batch norms, both decayed to a thousandth. The all_reduce in the authors'
    code has no backward pass, so on W processes it yields 1/W of the true gradient. This loss
    yields the true gradient. That makes no difference for weights, because LARS divides by the
    norm of the gradient; biases learn W times as fast.
    """

    class Config(Settings):
        bias_lr_scale: float = Field(
            0.024,
            gt=0,
            le=10,
            description="factor for the learning rate of biases and batch norms",
        )

    config: Config

    heads = {"projector": "backbone"}
    recipe = {
        "augmentation": {"name": "byol"},
        "head.projector": {
            "hidden_dim": 8192,
            "output_dim": 8192,
            "num_layers": 3,
            "bias": False,
        },
        "loss": {"name": "barlow_twins", "lambda_": 0.0051},
        "optimizer": {"name": "lars", "base_lr": 0.2, "weight_decay": 1e-6},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10, "min_factor": 0.001},
    }

    projector: Head

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        loss = self.loss(self.projector(h1), self.projector(h2))
        return StepOutput(loss, features=h1)

    def param_groups(self) -> Iterable[ParamGroup]:
        named = list(self.trainable_parameters())
        biases = [(name, p) for name, p in named if p.ndim == 1]
        yield ParamGroup("weights", [(name, p) for name, p in named if p.ndim > 1])
        yield ParamGroup("biases", biases, lr_scale=self.config.bias_lr_scale, weight_decay=0.0)

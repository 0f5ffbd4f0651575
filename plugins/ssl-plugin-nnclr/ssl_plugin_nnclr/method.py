"""The NNCLR method."""

from __future__ import annotations

from pydantic import Field

from ssl_host import Batch, FeatureQueue, Head, Method, Settings, StepOutput


class NNCLR(Method):
    """NNCLR: contrasts each view with the nearest neighbour of the other view in a queue.

    Dwibedi et al., ICCV 2021, arXiv:2104.14548, equations 3 and 4.

    The positive of an image is the nearest neighbour of its embedding in a queue of past
    embeddings. The neighbours of one view are contrasted with the predictions of the other
    view, with B candidates in each direction. The embeddings of the first view are added to the
    queue after the step.
    """

    class Config(Settings):
        queue_size: int = Field(
            98_304,
            ge=1,
            le=10_000_000,
            description="number of past embeddings in the queue that is searched for neighbours",
        )

    config: Config

    heads = {"projector": "backbone", "predictor": "projector"}
    recipe = {
        "augmentation": {"name": "simclr"},
        "head.projector": {
            "hidden_dim": 2048,
            "output_dim": 256,
            "num_layers": 3,
            "last_norm": True,
        },
        "head.predictor": {
            "hidden_dim": 4096,
            "output_dim": "${head.projector.output_dim}",
            "num_layers": 2,
        },
        "loss": {"name": "info_nce", "temperature": 0.1},
        "optimizer": {"name": "lars", "base_lr": 0.3, "weight_decay": 1e-6},
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }

    projector: Head
    predictor: Head

    def setup(self) -> None:
        self.queue = FeatureQueue(self.config.queue_size, self.projector.output_dim)

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        z1, z2 = self.projector(h1), self.projector(h2)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        n1, n2 = self.queue.nearest(z1), self.queue.nearest(z2)
        loss = (self.loss(n1, p2) + self.loss(n2, p1)) / 2
        return StepOutput(loss, features=h1, enqueue={"queue": z1})

    def chance_level(self, num_images: int) -> float | None:
        return self.loss.chance_level(num_images)

"""Whole epochs of SimSiam against lightly's parts, put together as its examples do."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from sides import Comparison, compare
from torch.utils.data import DataLoader
from training import BATCH, SMALL, EpochClock, experiment, quiet_trainer, train

import ssl_host


def simsiam() -> Comparison:
    """Row 6: as it comes, and both sides in either number format."""
    steps, epochs = 24, 2
    images = steps * BATCH
    examples = "lightly's modules and transform with pytorch-lightning, 2 workers"

    def host(precision: str) -> float:
        made = experiment(
            SMALL,
            steps,
            "simsiam",
            **{
                "run": {"epochs": epochs, "batch_size": BATCH},
                "head.projector": {"hidden_dim": 256, "output_dim": 256},
                "head.predictor": {"hidden_dim": 64},
                "trainer": {"precision": precision, "num_threads": 2},
            },
        )
        clock = EpochClock()
        train(made, clock)
        return images / clock.seconds()

    return compare(
        f"SimSiam, whole epochs, 32 px, small backbone, batch {BATCH}, as it comes "
        "(precision = auto)",
        {
            "ssl-host": lambda: host("auto"),
            examples: lambda: images / lightlys(images, epochs),
            "the same in bfloat16": lambda: images / lightlys(images, epochs, "bf16-mixed"),
            "ssl-host in float32": lambda: host("32-true"),
        },
        {examples: 2.5},
    )


class LightlySimSiam(pl.LightningModule):
    """As lightly's SimSiam example, with the same widths as ours."""

    def __init__(self) -> None:
        super().__init__()
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead

        self.backbone = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=32)
        self.projector = SimSiamProjectionHead(self.backbone.feature_dim, 256, 256)
        self.predictor = SimSiamPredictionHead(256, 64, 256)
        self.loss = NegativeCosineSimilarity()

    def training_step(self, batch: list, _: int) -> torch.Tensor:
        z = [self.projector(self.backbone(view)) for view in batch]
        p = [self.predictor(each) for each in z]
        return (self.loss(p[0], z[1].detach()) + self.loss(p[1], z[0].detach())) / 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)


def lightlys(images: int, epochs: int, precision: str = "32-true") -> float:
    """Seconds an epoch; a data loader of two workers, as many threads for the network as ours."""
    from lightly.transforms import SimSiamTransform
    from views import Pictures

    torch.set_num_threads(2)
    made = ssl_host.build("data", "synthetic", num_images=images, image_size=32).open("train")
    pictures = Pictures(made.images, SimSiamTransform(input_size=32))
    # As in its examples: workers are started anew for each epoch.
    loader = DataLoader(pictures, BATCH, shuffle=True, drop_last=True, num_workers=2)
    clock = EpochClock()
    quiet_trainer(clock, epochs, precision).fit(LightlySimSiam(), loader)
    return clock.seconds()

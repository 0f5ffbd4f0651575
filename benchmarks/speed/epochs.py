"""Whole epochs of SimSiam, compared with lightly's modules used as in its examples."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from comparison import Comparison, compare
from torch.utils.data import DataLoader
from training import (
    BATCH_SIZE,
    SMALL,
    EpochTimer,
    build_experiment,
    build_quiet_trainer,
    train_experiment,
)

import ssl_host


def compare_simsiam() -> Comparison:
    """Train SimSiam with the default precision, and both packages in both number formats."""
    steps, epochs = 24, 2
    images = steps * BATCH_SIZE
    examples = "lightly's modules and transform with pytorch-lightning, 2 workers"

    def host_speed(precision: str) -> float:
        experiment = build_experiment(
            SMALL,
            steps,
            "simsiam",
            **{
                "run": {"epochs": epochs, "batch_size": BATCH_SIZE},
                "head.projector": {"hidden_dim": 256, "output_dim": 256},
                "head.predictor": {"hidden_dim": 64},
                "trainer": {"precision": precision, "num_threads": 2},
            },
        )
        timer = EpochTimer()
        train_experiment(experiment, timer)
        return images / timer.seconds_per_epoch()

    def lightly_speed(precision: str) -> float:
        return images / lightly_epoch_time(images, epochs, precision)

    return compare(
        f"SimSiam, whole epochs, 32 px, small backbone, batch {BATCH_SIZE}, as it comes "
        "(precision = auto)",
        {
            "ssl-host": lambda: host_speed("auto"),
            examples: lambda: lightly_speed("32-true"),
            "the same in bfloat16": lambda: lightly_speed("bf16-mixed"),
            "ssl-host in float32": lambda: host_speed("32-true"),
        },
        {examples: 2.5},
    )


class LightlySimSiam(pl.LightningModule):
    """SimSiam as in lightly's example, with the widths of this comparison."""

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


def lightly_epoch_time(num_images: int, epochs: int, precision: str) -> float:
    """Return the seconds per epoch with two loader workers and ssl-host's number of threads."""
    from lightly.transforms import SimSiamTransform
    from views import TransformedImages

    torch.set_num_threads(2)
    source = ssl_host.build("data", "synthetic", num_images=num_images, image_size=32)
    dataset = TransformedImages(source.open("train").images, SimSiamTransform(input_size=32))
    # As in lightly's examples, workers are started again in each epoch.
    loader = DataLoader(dataset, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=2)
    timer = EpochTimer()
    build_quiet_trainer(timer, epochs, precision).fit(LightlySimSiam(), loader)
    return timer.seconds_per_epoch()

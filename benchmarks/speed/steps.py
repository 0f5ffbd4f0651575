"""The host's training against bare loops, and against pytorch-lightning alone."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl
import torch
from rich.console import Console
from sides import Comparison, clocked, compare
from torch import nn
from torch.utils.data import DataLoader

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import Experiment, compose
from ssl_host.config.resolve import resolve_values
from ssl_host.data.opening import open_images
from ssl_host.train.fit import fit
from ssl_host.train.groups import make_optimizer, set_rates
from ssl_host.train.settle import settle

BATCH = 128
RESNET = {"name": "timm", "model": "resnet18", "stem": "cifar"}
SMALL = {"name": "small_conv"}


class Clock(pl.Callback):
    """Times the steps after the first few, which set things up."""

    def __init__(self, skip: int) -> None:
        self.skip = skip
        self.seen = 0
        self.begun = self.ended = 0.0

    def on_train_batch_end(self, *_: object) -> None:
        self.seen += 1
        self.ended = time.perf_counter()
        if self.seen == self.skip:
            self.begun = self.ended

    def seconds(self) -> float:
        """Of one step."""
        return (self.ended - self.begun) / (self.seen - self.skip)


class EpochClock(pl.Callback):
    """Times whole epochs after the first, from the end of one to the end of the next."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, *_: object) -> None:
        self.ends.append(time.perf_counter())

    def seconds(self) -> float:
        """Of one epoch."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def quiet_trainer(clock: pl.Callback, epochs: int = 1, precision: str = "32-true") -> pl.Trainer:
    """pytorch-lightning without what may be left out, on the CPU."""
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    )


def experiment(
    backbone: dict, steps: int, method: str = "simclr", batch: int = BATCH, **sections: dict
) -> Experiment:
    """A run of one epoch in float32; the online probe is left out on every side."""
    config = resolve_values(
        {
            "run": {"epochs": 1, "batch_size": batch},
            "data": {"name": "synthetic", "num_images": steps * batch, "image_size": 32},
            "method": {"name": method},
            "backbone": backbone,
            "head.projector": {"hidden_dim": 256, "output_dim": 64},
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
            "scheduler": {"warmup_epochs": 0},
            "trainer": {"precision": "32-true", "num_threads": 2},
            "probe": {"enabled": False},
            **sections,
        },
        Catalog(),
    )
    return compose(settle(config))


def hosts(made: Experiment, skip: int) -> float:
    """Seconds a step in the host's own training: loader, views, step, schedule, rows, Lightning."""
    clock = Clock(skip)
    train(made, clock)
    return clock.seconds()


def train(made: Experiment, clock: pl.Callback) -> None:
    """The host's own training, with its checkpoints."""
    images = open_images(made.source, made.views, made.config.loader)
    with tempfile.TemporaryDirectory() as folder:
        for logger in made.loggers.values():
            logger.start(ssl_host.Run("speed", Path(folder), 0, {}))
        fit(
            made,
            images.make_loader,
            len(images.train),
            0,
            Path(folder) / "checkpoints",
            Console(quiet=True),
            [clock],
        )


def bare(made: Experiment, skip: int, ready: bool) -> float:
    """Seconds a step in a loop of a few lines with the same parts.

    Args:
        ready: whether the views are in memory already, which is the limit of any loader.
    """
    torch.set_num_threads(2)
    method = made.method
    images = made.source.open("train").images
    optimizer = make_optimizer(method, made.optimizer, 0.05)
    method.to(memory_format=torch.channels_last)
    order = torch.randperm(len(images))
    total = len(images) // BATCH
    laid = [v.contiguous(memory_format=torch.channels_last) for v in made.views(images[:BATCH])]
    begun = 0.0
    for step, index in enumerate(order.split(BATCH)):
        if step == skip:
            begun = time.perf_counter()
        views = laid
        if not ready:
            views = made.views(images[index], index, 0, 0)
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        out = method.step(ssl_host.Batch(views, index))
        optimizer.zero_grad(set_to_none=True)
        out.loss.backward()
        set_rates(optimizer, made.scheduler, step, total, total)
        optimizer.step()
        method.advance(out, step, total)
    return (time.perf_counter() - begun) / (total - skip)


def whole_step(name: str) -> Comparison:
    """Rows 4 and 5, for one backbone."""
    backbone, steps, wanted = {
        "ResNet-18": (RESNET, 7, (0.97, 0.95)),
        "small backbone": (SMALL, 44, (0.95, 0.80)),
    }[name]
    skip = 4 if name == "small backbone" else 2
    loop, limit = "a bare loop with the same views", "that loop on views in memory"
    return compare(
        f"whole SimCLR step, {name}, 32 px, batch {BATCH}",
        {
            "ssl-host": lambda: BATCH / hosts(experiment(backbone, steps), skip),
            loop: lambda: BATCH / bare(experiment(backbone, steps), skip, ready=False),
            limit: lambda: BATCH / bare(experiment(backbone, steps), skip, ready=True),
        },
        {loop: wanted[0], limit: wanted[1]},
    )


def overhead() -> Comparison:
    """Row 7: a step without arithmetic; views, probe and momentum copies are left out.

    A gradient for each parameter, which the host looks at, and the optimizer's work on it are
    arithmetic: the empty module has the method's parameters in the method's layout, the same loss
    of them all and the same optimizer.
    """
    steps, skip = 400, 50
    least_network = nn.Linear(1, 1, bias=False)
    empty = "an empty pytorch-lightning module, no logging"
    least = "the same with one parameter"

    def host() -> float:
        made = experiment(SMALL, steps, batch=2)
        made.method.step = lambda batch: ssl_host.StepOutput(of_all(made.method))
        made = replace(made, views=NoViews(made.views.augmentation))
        return 1 / hosts(made, skip)

    def parts() -> tuple[nn.Module, torch.optim.Optimizer]:
        made = experiment(SMALL, steps, batch=2)
        network = made.method.to(memory_format=torch.channels_last)
        return network, make_optimizer(network, made.optimizer, 0.1)

    def lightning(network: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        clock = Clock(skip)
        trainer = quiet_trainer(clock)
        images = DataLoader([torch.zeros(2, 3, 32, 32)] * steps, batch_size=None)
        trainer.fit(Nothing(network, optimizer), images)
        return 1 / clock.seconds()

    return compare(
        "a step without arithmetic, a row logged every 10",
        {
            "ssl-host": host,
            empty: lambda: lightning(*parts()),
            least: lambda: lightning(least_network, torch.optim.SGD(least_network.parameters())),
        },
        {empty: 1 / 1.3},
        unit="steps/s",
    )


def of_all(network: nn.Module) -> torch.Tensor:
    """The cheapest loss that gives every parameter a gradient."""
    return torch.stack([weight.sum() for weight in network.parameters()]).sum()


class NoViews:
    """In the place of a ViewMaker: what is ready already."""

    num_views = num_global = 2

    def __init__(self, augmentation: object) -> None:
        self.augmentation = augmentation
        view = torch.zeros(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        self.views = [view, view]

    def __call__(self, *_: object) -> list[torch.Tensor]:
        return self.views


class Nothing(pl.LightningModule):
    """The least that trains."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.network = network
        self.optimizer = optimizer

    def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
        return of_all(self.network)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer


def precision(batch: int = 64) -> Comparison:
    """A ResNet-18's step in both number formats: what `[trainer] precision = auto` is about."""
    torch.set_num_threads(2)
    made = experiment(RESNET, 2, batch=batch)
    method = made.method.train().to(memory_format=torch.channels_last)
    optimizer = make_optimizer(method, made.optimizer, 0.05)
    views = [
        torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        for _ in range(2)
    ]

    def step(half: bool) -> int:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = method.step(ssl_host.Batch(views, torch.arange(batch)))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        return batch

    return compare(
        f"SimCLR step in bfloat16, ResNet-18, 32 px, batch {batch}",
        {"bfloat16": clocked(lambda: step(True)), "float32": clocked(lambda: step(False))},
        {},
    )


def epoch() -> Comparison:
    """Row 6: SimSiam, whole epochs, against lightly's parts put together as its examples do."""
    steps, epochs = 32, 2
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

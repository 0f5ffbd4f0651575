"""Steps of the host's training against bare loops, and against pytorch-lightning alone."""

from __future__ import annotations

import time
from dataclasses import replace

import pytorch_lightning as pl
import torch
from sides import Comparison, clocked, compare
from torch import nn
from torch.utils.data import DataLoader
from training import RESNET, SMALL, TrainingTimer, experiment, hosts, quiet_trainer

import ssl_host
from ssl_host.compose import Experiment
from ssl_host.train.param_groups import make_optimizer, set_learning_rates


def bare(made: Experiment, skip: int, ready: bool) -> float:
    """Seconds a step in a loop of a few lines with the same parts.

    Args:
        ready: whether the views are in memory already, which is the limit of any loader.
    """
    torch.set_num_threads(2)
    method = made.method
    batch = made.config.run.batch_size
    images = made.source.open("train").images
    optimizer = make_optimizer(method, made.optimizer, 0.05)
    method.to(memory_format=torch.channels_last)
    order = torch.randperm(len(images))
    total = len(images) // batch
    laid = [v.contiguous(memory_format=torch.channels_last) for v in made.views(images[:batch])]
    begun = 0.0
    for step, index in enumerate(order.split(batch)):
        if step == skip:
            begun = time.perf_counter()
        views = laid
        if not ready:
            views = made.views(images[index], index, 0, 0)
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        out = method.step(ssl_host.Batch(views, index))
        optimizer.zero_grad(set_to_none=True)
        out.loss.backward()
        set_learning_rates(optimizer, made.scheduler, step, total, total)
        optimizer.step()
        method.finish_step(out, step, total)
    return (time.perf_counter() - begun) / (total - skip)


def whole_step(name: str) -> Comparison:
    """Rows 4 and 5, for one backbone."""
    backbone, batch, steps, skip, wanted = {
        "ResNet-18": (RESNET, 64, 9, 2, (0.97, 0.95)),
        "small backbone": (SMALL, 128, 44, 4, (0.95, 0.80)),
    }[name]
    loop, limit = "a bare loop with the same views", "that loop on views in memory"

    def made() -> Experiment:
        return experiment(backbone, steps, batch=batch)

    return compare(
        f"whole SimCLR step, {name}, 32 px, batch {batch}",
        {
            "ssl-host": lambda: batch / hosts(made(), skip),
            loop: lambda: batch / bare(made(), skip, ready=False),
            limit: lambda: batch / bare(made(), skip, ready=True),
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
        clock = TrainingTimer(skip)
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

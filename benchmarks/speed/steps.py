"""Training steps of ssl-host, compared with minimal loops and with pytorch-lightning alone."""

from __future__ import annotations

import time
from dataclasses import replace

import pytorch_lightning as pl
import torch
from comparison import Comparison, compare, speed_of
from torch import nn
from torch.utils.data import DataLoader
from training import (
    RESNET,
    SMALL,
    StepTimer,
    build_experiment,
    build_quiet_trainer,
    time_host_step,
)

import ssl_host
from ssl_host.compose import Experiment
from ssl_host.train.param_groups import make_optimizer, set_learning_rates


def time_minimal_loop(experiment: Experiment, num_skipped: int, precomputed: bool) -> float:
    """Return the seconds per step of a loop of a few lines with the same components.

    Args:
        precomputed: use the same views in every step, which no loader can be faster than.
    """
    torch.set_num_threads(2)
    method = experiment.method
    batch_size = experiment.config.run.batch_size
    images = experiment.source.open("train").images
    optimizer = make_optimizer(method, experiment.optimizer, 0.05)
    method.to(memory_format=torch.channels_last)
    order = torch.randperm(len(images))
    total = len(images) // batch_size
    fixed_views = [
        view.contiguous(memory_format=torch.channels_last)
        for view in experiment.views(images[:batch_size])
    ]
    start = 0.0
    for step, index in enumerate(order.split(batch_size)):
        if step == num_skipped:
            start = time.perf_counter()
        views = fixed_views
        if not precomputed:
            views = experiment.views(images[index], index, 0, 0)
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        out = method.step(ssl_host.Batch(views, index))
        optimizer.zero_grad(set_to_none=True)
        out.loss.backward()
        set_learning_rates(optimizer, experiment.scheduler, step, total, total)
        optimizer.step()
        method.finish_step(out, step, total)
    return (time.perf_counter() - start) / (total - num_skipped)


def compare_steps(name: str) -> Comparison:
    """Compare whole training steps with minimal loops, for one backbone."""
    backbone, batch_size, steps, num_skipped, at_least = {
        "ResNet-18": (RESNET, 64, 9, 2, (0.97, 0.95)),
        "small backbone": (SMALL, 128, 44, 4, (0.95, 0.80)),
    }[name]
    loop, limit = "a bare loop with the same views", "that loop on views in memory"

    def build() -> Experiment:
        return build_experiment(backbone, steps, batch_size=batch_size)

    def minimal_loop_speed(precomputed: bool) -> float:
        return batch_size / time_minimal_loop(build(), num_skipped, precomputed)

    return compare(
        f"whole SimCLR step, {name}, 32 px, batch {batch_size}",
        {
            "ssl-host": lambda: batch_size / time_host_step(build(), num_skipped),
            loop: lambda: minimal_loop_speed(precomputed=False),
            limit: lambda: minimal_loop_speed(precomputed=True),
        },
        {loop: at_least[0], limit: at_least[1]},
    )


def compare_overhead() -> Comparison:
    """Compare steps almost without arithmetic: no views, no probe, no EMA copies.

    The gradient of each parameter, which the host checks, and the optimizer's update are
    arithmetic. For a fair comparison the empty Lightning module has the method's parameters in the
    same memory layout, the same loss over all of them and the same optimizer.
    """
    steps, num_skipped = 400, 50
    one_parameter = nn.Linear(1, 1, bias=False)
    empty = "an empty pytorch-lightning module, no logging"
    smallest = "the same with one parameter"

    def host_speed() -> float:
        experiment = build_experiment(SMALL, steps, batch_size=2)
        experiment.method.step = lambda batch: ssl_host.StepOutput(
            sum_of_parameters(experiment.method)
        )
        experiment = replace(experiment, views=FixedViews(experiment.views.augmentation))
        return 1 / time_host_step(experiment, num_skipped)

    def method_and_optimizer() -> tuple[nn.Module, torch.optim.Optimizer]:
        experiment = build_experiment(SMALL, steps, batch_size=2)
        network = experiment.method.to(memory_format=torch.channels_last)
        return network, make_optimizer(network, experiment.optimizer, 0.1)

    def lightning_speed(network: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        timer = StepTimer(num_skipped)
        trainer = build_quiet_trainer(timer)
        images = DataLoader([torch.zeros(2, 3, 32, 32)] * steps, batch_size=None)
        trainer.fit(EmptyModule(network, optimizer), images)
        return 1 / timer.seconds_per_step()

    return compare(
        "a step without arithmetic, a row logged every 10",
        {
            "ssl-host": host_speed,
            empty: lambda: lightning_speed(*method_and_optimizer()),
            smallest: lambda: lightning_speed(
                one_parameter, torch.optim.SGD(one_parameter.parameters())
            ),
        },
        {empty: 1 / 1.3},
        unit="steps/s",
    )


def sum_of_parameters(network: nn.Module) -> torch.Tensor:
    """Return the cheapest loss that gives every parameter a gradient."""
    return torch.stack([weight.sum() for weight in network.parameters()]).sum()


class FixedViews:
    """Replacement for a ViewMaker that returns the same two views for every batch."""

    num_views = num_global = 2

    def __init__(self, augmentation: object) -> None:
        self.augmentation = augmentation
        view = torch.zeros(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        self.views = [view, view]

    def __call__(self, *_: object) -> list[torch.Tensor]:
        return self.views


class EmptyModule(pl.LightningModule):
    """Smallest Lightning module that trains the parameters of a network."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.network = network
        self.optimizer = optimizer

    def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
        return sum_of_parameters(self.network)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer


def compare_precision(batch_size: int = 64) -> Comparison:
    """Compare a ResNet-18's step in bfloat16 and float32, the choices of ``precision = auto``."""
    torch.set_num_threads(2)
    experiment = build_experiment(RESNET, 2, batch_size=batch_size)
    method = experiment.method.train().to(memory_format=torch.channels_last)
    optimizer = make_optimizer(method, experiment.optimizer, 0.05)
    views = [
        torch.randn(batch_size, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        for _ in range(2)
    ]

    def train_step(bfloat16: bool) -> int:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            out = method.step(ssl_host.Batch(views, torch.arange(batch_size)))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        return batch_size

    return compare(
        f"SimCLR step in bfloat16, ResNet-18, 32 px, batch {batch_size}",
        {
            "bfloat16": speed_of(lambda: train_step(True)),
            "float32": speed_of(lambda: train_step(False)),
        },
        {},
    )

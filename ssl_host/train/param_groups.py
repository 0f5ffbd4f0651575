"""Converts a method's parameter groups to torch groups, and sets their learning rates."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.method import Method, ParamGroup
from ssl_host.contracts.optimization import Optimizer, Scheduler
from ssl_host.errors import PluginError


def make_optimizer(method: Method, optimizer: Optimizer, lr: float) -> torch.optim.Optimizer:
    """Create the torch optimizer for the parameter groups of a method.

    Args:
        method: the SSL method to train.
        optimizer: the optimizer component.
        lr: the peak learning rate; each group's rate is this value times its ``lr_scale``.

    Raises:
        PluginError: if a trainable parameter is in no group, or if a parameter is in two groups.
    """
    torch_groups: list[dict[str, Any]] = []
    group_of: dict[int, str] = {}
    with attribute_errors(method, "in param_groups"):
        groups = list(method.param_groups())
    for group in groups:
        for name, parameter in group.params:
            if id(parameter) in group_of:
                raise PluginError(
                    f"parameter {name!r} is in the groups {group_of[id(parameter)]!r} and "
                    f"{group.name!r}; put it in only one of them"
                )
            group_of[id(parameter)] = group.name
        torch_groups += split_by_decay(group, optimizer, lr)
    missing = [name for name, p in method.trainable_parameters() if id(p) not in group_of]
    if missing:
        raise PluginError(
            f"{type(method).__qualname__}.param_groups() leaves out {', '.join(missing[:5])}; "
            "put every trainable parameter in one group"
        )
    with attribute_errors(optimizer, "while creating its torch optimizer"):
        return optimizer.create(torch_groups)


def split_by_decay(group: ParamGroup, optimizer: Optimizer, lr: float) -> list[dict[str, Any]]:
    """Split a group into torch parameter groups with and without weight decay."""
    settings = optimizer.config
    decay = settings.weight_decay if group.weight_decay is None else group.weight_decay
    split: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for _, parameter in group.params:
        split[settings.decay_params == "all" or parameter.ndim > 1].append(parameter)
    return [
        {
            "params": params,
            "lr": lr * group.lr_scale,
            "weight_decay": decay if decays else 0.0,
            "trust_ratio": decays,
            "peak_lr": lr * group.lr_scale,
            "constant": group.schedule == "constant",
            "frozen_until": group.frozen_until,
            "name": group.name,
        }
        for decays, params in split.items()
        if params
    ]


def set_learning_rates(
    optimizer: torch.optim.Optimizer,
    scheduler: Scheduler,
    step: int,
    total_steps: int,
    steps_per_epoch: int,
) -> float:
    """Set the learning rate of every parameter group for a step, and return the rate to log.

    The returned rate belongs to the first group that follows the scheduler, or to the first group
    if none does.

    Args:
        optimizer: the torch optimizer.
        scheduler: the scheduler component.
        step: the number of the optimizer step, from 0.
        total_steps: the number of optimizer steps of the run.
        steps_per_epoch: the number of optimizer steps per epoch.
    """
    with attribute_errors(scheduler, f"in factor() for step {step}"):
        factor = scheduler.factor(step, total_steps, steps_per_epoch)
    scheduled = None
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * (1.0 if group["constant"] else factor)
        if scheduled is None and not group["constant"]:
            scheduled = group["lr"]
    return float(optimizer.param_groups[0]["lr"] if scheduled is None else scheduled)


def drop_frozen_gradients(optimizer: torch.optim.Optimizer, step: int, total_steps: int) -> None:
    """Remove the gradients of groups that are still frozen, so the optimizer skips them."""
    for group in optimizer.param_groups:
        if step < group.get("frozen_until", 0.0) * total_steps:
            for parameter in group["params"]:
                parameter.grad = None

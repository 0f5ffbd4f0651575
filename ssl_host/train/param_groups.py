"""A method's parameter groups as a torch optimizer takes them, and their rates per step."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.method import Method, ParamGroup
from ssl_host.contracts.optimization import Optimizer, Scheduler
from ssl_host.errors import PluginError


def make_optimizer(method: Method, optimizer: Optimizer, lr: float) -> torch.optim.Optimizer:
    """The optimizer over the method's groups, each split into what decays and what is excluded.

    Raises:
        PluginError: when a trainable parameter is in no group, or in two.
    """
    groups: list[dict[str, Any]] = []
    seen: dict[int, str] = {}
    with attribute_errors(method, "while giving its param_groups"):
        given = list(method.param_groups())
    for group in given:
        for name, parameter in group.params:
            if id(parameter) in seen:
                raise PluginError(
                    f"parameter {name} is in the groups {seen[id(parameter)]} and {group.name}"
                )
            seen[id(parameter)] = group.name
        groups += torch_groups(group, optimizer, lr)
    missing = [name for name, p in method.trainable_parameters() if id(p) not in seen]
    if missing:
        raise PluginError(
            f"{type(method).__qualname__}.param_groups() leaves out {', '.join(missing[:5])}; "
            "every trainable parameter belongs to one group"
        )
    with attribute_errors(optimizer, "while making its torch optimizer"):
        return optimizer.create(groups)


def torch_groups(group: ParamGroup, optimizer: Optimizer, lr: float) -> list[dict[str, Any]]:
    """A group as torch takes it: its weights, and what is excluded from decay."""
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


def set_rates(
    optimizer: torch.optim.Optimizer,
    scheduler: Scheduler,
    step: int,
    total_steps: int,
    steps_per_epoch: int,
) -> float:
    """Set every group's rate for optimizer step ``step``; returns the first scheduled one."""
    with attribute_errors(scheduler, f"while giving the factor of step {step}"):
        factor = scheduler.factor(step, total_steps, steps_per_epoch)
    shown = None
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * (1.0 if group["constant"] else factor)
        if shown is None and not group["constant"]:
            shown = group["lr"]
    return float(optimizer.param_groups[0]["lr"] if shown is None else shown)


def drop_frozen(optimizer: torch.optim.Optimizer, step: int, total_steps: int) -> None:
    """Take the gradients of what stands still at this step away, for the optimizer to pass over."""
    for group in optimizer.param_groups:
        if step < group.get("frozen_until", 0.0) * total_steps:
            for parameter in group["params"]:
                parameter.grad = None

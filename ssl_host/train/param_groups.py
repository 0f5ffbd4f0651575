"""Create the torch optimizer of a method; set its learning rates and weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.method import Method
from ssl_host.contracts.optimization import Optimizer, ParamGroup, Schedule, Scheduler
from ssl_host.errors import PluginError
from ssl_host.toolkit.schedules import CosineSchedule


def make_optimizer(method: Method, optimizer: Optimizer, lr: float) -> torch.optim.Optimizer:
    """Create the torch optimizer for the parameter groups of a method.

    Args:
        method: the SSL method to train.
        optimizer: the optimizer component.
        lr: the peak learning rate; each group's rate is this value times its ``lr_scale`` and, with
            ``layer_decay``, the factor of the backbone's layer.

    Raises:
        PluginError: if a trainable parameter is in no group, if a parameter is in two groups, or if
            the method or the optimizer component raises an error.
    """
    torch_groups: list[dict[str, Any]] = []
    group_of: dict[int, str] = {}
    with attribute_errors(method, "in param_groups"):
        groups = list(method.param_groups())
    with attribute_errors(method.backbone, "in layer_groups or no_weight_decay"):
        rules = _BackboneRules(method, optimizer)
    for group in groups:
        for pair in group.params:
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise PluginError(
                    f"{type(method).__qualname__}.param_groups(): params of the group "
                    f"{group.name!r} should be pairs of name and parameter, as from "
                    f"trainable_parameters(), but contain a {type(pair).__name__}"
                )
            name, parameter = pair
            if id(parameter) in group_of:
                raise PluginError(
                    f"parameter {name!r} is in the groups {group_of[id(parameter)]!r} and "
                    f"{group.name!r}; put it in only one of them"
                )
            group_of[id(parameter)] = group.name
        torch_groups += split_group(group, optimizer, lr, rules)
    missing = [name for name, p in method.trainable_parameters() if id(p) not in group_of]
    if missing:
        raise PluginError(
            f"{type(method).__qualname__}.param_groups() leaves out {', '.join(missing[:5])}; "
            "put every trainable parameter in exactly one group"
        )
    with attribute_errors(optimizer, "while creating its torch optimizer"):
        return optimizer.create(torch_groups)


class _BackboneRules:
    """Learning-rate scales of the backbone's layers, and parameters without weight decay.

    Attributes:
        lr_scale: factor of the learning rate for the parameters of each layer, keyed by id.
        exempt: ids of the parameters without weight decay.
    """

    def __init__(self, method: Method, optimizer: Optimizer) -> None:
        parameters = dict(method.backbone.named_parameters())
        self.lr_scale: dict[int, float] = {}
        self.exempt: set[int] = set()
        decay = optimizer.config.layer_decay
        if decay is not None:
            layers = method.backbone.layer_groups()
            for depth, names in enumerate(layers):
                scale = decay ** (len(layers) - depth)
                self.lr_scale |= {id(parameters[name]): scale for name in names}
        if optimizer.config.decay_params == "weights_except_embeddings":
            exempt = method.backbone.no_weight_decay()
            self.exempt = {id(parameters[name]) for name in exempt if name in parameters}


def split_group(
    group: ParamGroup, optimizer: Optimizer, lr: float, rules: _BackboneRules | None = None
) -> list[dict[str, Any]]:
    """Split a group into torch parameter groups by weight decay and learning rate.

    Args:
        group: the parameter group of a method.
        optimizer: the optimizer component, whose settings say which parameters decay.
        lr: the peak learning rate, before the factors of the group and of the layers.
        rules: the rules of the backbone; None for parameters that are not part of a method.

    Returns:
        The torch parameter groups, with the additional keys that the host uses, such as
        ``peak_lr``; groups with weight decay come first.
    """
    settings = optimizer.config
    split: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for _, parameter in group.params:
        decays = settings.decay_params == "all" or parameter.ndim > 1
        scale = 1.0
        if rules is not None:
            decays = decays and id(parameter) not in rules.exempt
            scale = rules.lr_scale.get(id(parameter), 1.0)
        split.setdefault((decays, scale), []).append(parameter)
    decay = group.weight_decay
    if isinstance(decay, Schedule):
        decay = float(decay)
    return [
        {
            "params": params,
            "lr": lr * group.lr_scale * scale,
            "weight_decay": (settings.weight_decay if decay is None else decay) if decays else 0.0,
            "trust_ratio": decays,
            "peak_lr": lr * group.lr_scale * scale,
            "constant": group.schedule == "constant",
            "frozen_until": group.frozen_until,
            "name": group.name,
        }
        for (decays, scale), params in sorted(split.items(), key=lambda item: not item[0][0])
    ]


def weight_decay_schedules(method: Method, optimizer: Optimizer) -> dict[str, Schedule]:
    """Return the weight-decay schedules of the groups that have one, keyed by group name.

    They are not stored in the torch groups, because those are saved in checkpoints.
    """
    settings, schedules = optimizer.config, {}
    for group in method.param_groups():
        if isinstance(group.weight_decay, Schedule):
            schedules[group.name] = group.weight_decay
        elif group.weight_decay is None and settings.weight_decay_end is not None:
            schedules[group.name] = CosineSchedule(settings.weight_decay, settings.weight_decay_end)
    return schedules


def set_weight_decay(
    optimizer: torch.optim.Optimizer,
    schedules: Mapping[str, Schedule],
    step: int,
    total_steps: int,
) -> None:
    """Set the weight decay of the groups that have a schedule, for optimizer step ``step``."""
    for group in optimizer.param_groups:
        schedule = schedules.get(group.get("name", ""))
        if schedule is not None and group["trust_ratio"]:
            group["weight_decay"] = schedule.value_at(step, total_steps)


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
    """Remove the gradients of groups that are still frozen, so that the optimizer skips them.

    ``frozen_until`` of a group is the fraction of the run, from 0 to 1, for which it is frozen.
    """
    for group in optimizer.param_groups:
        if step < group.get("frozen_until", 0.0) * total_steps:
            for parameter in group["params"]:
                parameter.grad = None

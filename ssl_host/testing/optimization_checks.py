"""Optimizers and schedulers."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from ssl_host.testing.component_checks import judge_reading, watched
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget

RATE = 0.05
LENGTHS = ((1, 1), (10, 5), (1000, 40))
"""Total steps and steps an epoch."""


def _created(
    target: CheckTarget, parameters: list[nn.Parameter], lr: float, decay: float = 0.0
) -> torch.optim.Optimizer:
    groups = [{"params": [p], "lr": lr, "weight_decay": decay} for p in parameters]
    optimizer: Any = target.make().create(groups)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise CheckFailure(
            f"create returned {type(optimizer).__name__}",
            "the host steps, saves and restores a torch optimizer",
            "return a torch.optim.Optimizer over the groups",
        )
    return optimizer


def _weights() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(4, 3, generator=generator)) for _ in range(2)]


def _step(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> float:
    loss = sum((p - 1).square().sum() for p in parameters)
    assert isinstance(loss, torch.Tensor)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def minimizes(target: CheckTarget) -> str:
    """Fifty steps on a bowl bring the loss down."""
    parameters = _weights()
    optimizer = _created(target, parameters, RATE)
    losses = [_step(optimizer, parameters) for _ in range(50)]
    if not losses[-1] < losses[0]:
        raise CheckFailure(
            f"the loss of a bowl went from {losses[0]:.3g} to {losses[-1]:.3g}",
            "it does not minimise",
            "check the sign of the step and the use of group['lr']",
        )
    return f"{losses[0]:.3g} to {losses[-1]:.2g}"


def respects_lr(target: CheckTarget) -> str:
    """The rate of a group is read at every step: at 0 its weights stay."""
    parameters = _weights()
    optimizer = _created(target, parameters, RATE)
    _step(optimizer, parameters)
    optimizer.param_groups[0]["lr"] = 0.0
    before = [p.detach().clone() for p in parameters]
    _step(optimizer, parameters)
    if not torch.equal(parameters[0], before[0]) or torch.equal(parameters[1], before[1]):
        raise CheckFailure(
            "weights of a group with rate 0 move, or those of another group do not",
            "the host sets every group's lr before each step: warm-up and schedules",
            "read group['lr'] in step(), and keep no copy of it",
        )
    return ""


def keeps_group_keys(target: CheckTarget) -> str:
    """What the host notes in the groups, names and peak rates, stays there."""
    parameters = _weights()
    groups = [
        {"params": [p], "lr": RATE, "weight_decay": 0.0, "name": f"g{i}", "peak_lr": RATE}
        for i, p in enumerate(parameters)
    ]
    found = target.make().create(groups).param_groups
    names = [group.get("name") for group in found]
    if names != ["g0", "g1"] or any("peak_lr" not in group for group in found):
        raise CheckFailure(
            f"the groups come back as {names}",
            "the host finds each group's peak rate in the group itself",
            "hand the groups to torch.optim.Optimizer as they are",
        )
    return ""


def resume(target: CheckTarget) -> str:
    """After load_state_dict the steps are those of the original, to the last bit."""
    parameters = _weights()
    optimizer = _created(target, parameters, RATE, 0.01)
    for _ in range(3):
        _step(optimizer, parameters)
    twins = [nn.Parameter(p.detach().clone()) for p in parameters]
    other = _created(target, twins, RATE, 0.01)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        _step(optimizer, parameters)
        _step(other, twins)
    if any(not torch.equal(a, b) for a, b in zip(parameters, twins, strict=True)):
        raise CheckFailure(
            "after a resume the weights are others",
            "a preempted run would end elsewhere",
            "keep moments and counts in self.state, which state_dict() saves",
        )
    return ""


def factors(target: CheckTarget) -> str:
    """Factors are finite, never negative, and the same when asked again, however long the run."""
    scheduler = target.make()
    top = 0.0
    for total, per_epoch in LENGTHS:
        for step in [*range(min(total, 200)), total - 1, total]:
            factor = scheduler.factor(step, total, per_epoch)
            if not (isinstance(factor, int | float) and math.isfinite(factor) and factor >= 0):
                raise CheckFailure(
                    f"factor({step}, {total}, {per_epoch}) is {factor!r}",
                    "it multiplies every learning rate",
                    "return a finite float that is not negative, also for runs of one step and "
                    "for warm-ups that are longer than the run",
                )
            if scheduler.factor(step, total, per_epoch) != factor:
                raise CheckFailure(
                    f"factor({step}, {total}, {per_epoch}) changes from call to call",
                    "it has to be a pure function of the step: a resume asks in another order",
                    "compute it from the arguments, and keep no count of calls",
                )
            top = max(top, float(factor))
    if not top:
        raise CheckFailure(
            "all factors are 0", "nothing would be learned", "rise above 0 somewhere"
        )
    return f"at most {top:.3g}"


def settings_declared(target: CheckTarget) -> str:
    """Nothing is read that Config does not declare."""
    settings, read, unknown = watched(target.make_settings())
    made = target.make(settings)
    used: set[str] = set()
    if target.kind == "optimizer":
        # The host reads these for every optimizer.
        used = {"lr", "base_lr", "weight_decay", "decay_params"}
        parameters = _weights()
        groups = [{"params": parameters, "lr": RATE, "weight_decay": 0.0}]
        _step(made.create(groups), parameters)
    else:
        for step in range(20):
            made.factor(step, 20, 5)
    return judge_reading(target, read, unknown, used)

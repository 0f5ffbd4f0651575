"""Conformance checks for optimizers and schedulers."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget

LR = 0.05
RUN_LENGTHS = ((1, 1), (10, 5), (1000, 40))
"""Pairs of the total number of steps of a run and its number of steps per epoch."""


def _create(
    target: CheckTarget, parameters: list[nn.Parameter], lr: float, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Return the torch optimizer that the component creates, with one group per parameter.

    Raises:
        CheckFailure: when the component does not create a torch optimizer.
    """
    groups = [{"params": [p], "lr": lr, "weight_decay": weight_decay} for p in parameters]
    optimizer: Any = target.make().create(groups)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise CheckFailure(
            f"create returned {type(optimizer).__name__}",
            "the host needs a torch optimizer to step, save and restore",
            "return a torch.optim.Optimizer over the groups",
        )
    return optimizer


def _parameters() -> list[nn.Parameter]:
    """Return two random parameters, generated from a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(4, 3, generator=generator)) for _ in range(2)]


def _step(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> float:
    """Take one step on a quadratic function and return its value before the step."""
    loss = sum((p - 1).square().sum() for p in parameters)
    assert isinstance(loss, torch.Tensor)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def minimizes(target: CheckTarget) -> str:
    """Check that 50 steps on a quadratic function reduce its value."""
    parameters = _parameters()
    optimizer = _create(target, parameters, LR)
    losses = [_step(optimizer, parameters) for _ in range(50)]
    if not losses[-1] < losses[0]:
        raise CheckFailure(
            f"50 steps change the value of a quadratic from {losses[0]:.3g} to {losses[-1]:.3g}",
            "the optimizer does not minimise the loss",
            "check the sign of the step and the use of group['lr']",
        )
    return f"{losses[0]:.3g} to {losses[-1]:.2g}"


def respects_lr(target: CheckTarget) -> str:
    """Check that each step uses the current learning rate of every group; 0 freezes a group."""
    parameters = _parameters()
    optimizer = _create(target, parameters, LR)
    _step(optimizer, parameters)
    optimizer.param_groups[0]["lr"] = 0.0
    before = [p.detach().clone() for p in parameters]
    _step(optimizer, parameters)
    if not torch.equal(parameters[0], before[0]) or torch.equal(parameters[1], before[1]):
        raise CheckFailure(
            "parameters of a group with lr = 0 change, or those of the other group do not",
            "the host sets the lr of every group before each step (warm-up, schedules)",
            "read group['lr'] in every step(), and do not keep a copy of it",
        )
    return ""


def keeps_group_keys(target: CheckTarget) -> str:
    """Check that parameter groups keep the keys that the host adds: ``name`` and ``peak_lr``."""
    parameters = _parameters()
    groups = [
        {"params": [p], "lr": LR, "weight_decay": 0.0, "name": f"g{i}", "peak_lr": LR}
        for i, p in enumerate(parameters)
    ]
    kept = target.make().create(groups).param_groups
    names = [group.get("name") for group in kept]
    if names != ["g0", "g1"] or any("peak_lr" not in group for group in kept):
        raise CheckFailure(
            f"the groups of the optimizer are named {names} instead of ['g0', 'g1']",
            "the host stores the peak learning rate of a group in the group",
            "pass the groups to torch.optim.Optimizer unchanged",
        )
    return ""


def resume(target: CheckTarget) -> str:
    """Check that an optimizer restored with load_state_dict takes bit-identical steps."""
    parameters = _parameters()
    optimizer = _create(target, parameters, LR, 0.01)
    for _ in range(3):
        _step(optimizer, parameters)
    copies = [nn.Parameter(p.detach().clone()) for p in parameters]
    restored = _create(target, copies, LR, 0.01)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        _step(optimizer, parameters)
        _step(restored, copies)
    if any(not torch.equal(a, b) for a, b in zip(parameters, copies, strict=True)):
        raise CheckFailure(
            "after a resume the parameters differ",
            "an interrupted run would end with a different result",
            "keep moments and counters in self.state, which state_dict() saves",
        )
    return ""


def factors(target: CheckTarget) -> str:
    """Check that the learning-rate factors are finite, non-negative and reproducible."""
    scheduler = target.make()
    largest = 0.0
    for total, per_epoch in RUN_LENGTHS:
        for step in [*range(min(total, 200)), total - 1, total]:
            factor = scheduler.factor(step, total, per_epoch)
            if not (isinstance(factor, int | float) and math.isfinite(factor) and factor >= 0):
                raise CheckFailure(
                    f"factor({step}, {total}, {per_epoch}) is {factor!r}",
                    "it multiplies every learning rate",
                    "return a finite float that is not negative, also for runs of one step and "
                    "warm-ups longer than the run",
                )
            if scheduler.factor(step, total, per_epoch) != factor:
                raise CheckFailure(
                    f"factor({step}, {total}, {per_epoch}) changes from call to call",
                    "it must be a pure function of its arguments, because a resumed run does not "
                    "call it for earlier steps",
                    "compute it from the arguments; do not count calls",
                )
            largest = max(largest, float(factor))
    if not largest:
        raise CheckFailure("all factors are 0", "the method cannot learn", "return factors above 0")
    return f"at most {largest:.3g}"


def settings_declared(target: CheckTarget) -> str:
    """Check that the component reads only settings that its Config declares."""
    settings, read, unknown = track_reads(target.make_settings())
    component = target.make(settings)
    referenced: set[str] = set()
    if target.kind == "optimizer":
        # The host itself reads these settings of every optimizer.
        referenced = {"lr", "base_lr", "weight_decay", "decay_params"}
        parameters = _parameters()
        groups = [{"params": parameters, "lr": LR, "weight_decay": 0.0}]
        _step(component.create(groups), parameters)
    else:
        for step in range(20):
            component.factor(step, 20, 5)
    return check_recorded_reads(target, read, unknown, referenced)

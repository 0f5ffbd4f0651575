"""What shows only in many steps: a collapse, and what the method's own arithmetic costs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_host.contracts.method import Method
from ssl_host.testing.harness import MethodCase
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget

STEPS = 100
COLLAPSED = 0.1
"""Spread of unit-length embeddings, relative to a uniform sphere's, that is called a collapse."""
SLOW = 5.0
"""Times that a step may take what its networks take."""
REPEATS = 7


def no_collapse(target: CheckTarget) -> str:
    """After 100 steps on made images the embeddings of different images still differ."""
    case = MethodCase(target)
    method = case.fresh(dtype=torch.float32)
    first = [name for name, feeder in method.heads.items() if feeder == "backbone"]
    watched = first or ["backbone"]
    spreads: dict[str, float] = {}
    for name in watched:
        getattr(method, name).register_forward_hook(_note(spreads, name))
    losses = [loss for loss, _ in case.train(method, 1, count=32, optimizer=_adam)]
    begun = dict(spreads)
    losses += [
        loss for loss, _ in case.train(method, STEPS - 1, start=1, count=32, optimizer=_adam)
    ]
    if not math.isfinite(losses[-1]):
        raise CheckFailure(
            f"within {STEPS} steps of Adam at a rate of 0.01 the loss became {losses[-1]}",
            "the method diverges where others learn",
            "normalise embeddings, and guard divisions, roots and logarithms by an epsilon",
        )
    name, spread = min(spreads.items(), key=lambda pair: pair[1])
    if spread < COLLAPSED:
        raise CheckFailure(
            f"after {STEPS} steps the {name}'s outputs of all images are nearly the same "
            f"(spread {spread:.3f} of 1; {begun[name]:.3f} before the first step)",
            "the loss goes down while nothing is learned",
            "check what keeps images apart: the stop-gradient, negatives, a variance term, "
            "centring and temperatures; and batch norm in a head whose outputs are alike from "
            "the start",
        )
    return f"spread {spread:.2f}, loss {losses[0]:.3g} to {losses[-1]:.3g}"


def _adam(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Whatever the scale of the loss, the steps have one size."""
    return torch.optim.Adam(parameters, lr=0.01)


def _note(spreads: dict[str, float], name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        unit = functional.normalize(output.detach().float(), dim=1)
        spreads[name] = float(unit.std(dim=0).mean() * math.sqrt(unit.shape[1]))

    return hook


def overhead(target: CheckTarget) -> str:
    """A step takes about as long as its networks alone."""
    case = MethodCase(target)
    method = case.fresh(dtype=torch.float32)
    batch = case.batch(64, dtype=torch.float32)
    calls = _calls(case, method, batch)

    def whole() -> None:
        case.step(method, batch).loss.backward()

    def networks() -> None:
        total: Tensor = torch.zeros(())
        for module, given, learns in calls:
            with torch.set_grad_enabled(learns):
                out = module(given).sum()
            total = total + out
        total.backward()

    times: dict[Callable[[], None], list[float]] = {whole: [], networks: []}
    for _ in range(REPEATS):  # alternating, so that what else the machine does hits both
        for work, taken in times.items():
            begun = time.perf_counter()
            work()
            taken.append(time.perf_counter() - begun)
    ratio = statistics.median(times[whole]) / statistics.median(times[networks])
    if ratio > SLOW:
        raise CheckFailure(
            f"a step takes {ratio:.1f} times what its networks take",
            "the rest is loops and copies, which grow with the batch",
            "replace Python loops over images by one operation on the whole batch",
        )
    return f"{ratio:.2f} times its networks alone"


def _calls(case: MethodCase, method: Method, batch: Any) -> list[tuple[nn.Module, Tensor, bool]]:
    """What a step asks of the networks: module, input, and whether a gradient is wanted."""
    found: list[tuple[nn.Module, Tensor, bool]] = []
    parts = ["backbone", *method.heads, *(f"ema_{part}" for part in method.ema)]
    handles = [
        getattr(method, name).register_forward_pre_hook(
            lambda module, given: found.append((module, given[0].detach(), torch.is_grad_enabled()))
        )
        for name in parts
    ]
    case.step(method, batch)
    for handle in handles:
        handle.remove()
    return found

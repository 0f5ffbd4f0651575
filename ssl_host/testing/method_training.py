"""Checks that a method does not collapse in 100 training steps, and that a step is fast."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_host.contracts.batch import Batch
from ssl_host.contracts.method import Method
from ssl_host.testing.harness import MethodCase
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget

NUM_STEPS = 100
MIN_SPREAD = 0.1
"""Smallest spread of unit-length embeddings, relative to a uniform distribution on the sphere."""
MAX_OVERHEAD = 5.0
"""Longest duration of a step, relative to that of its networks alone."""
NUM_TIMINGS = 7


def no_collapse(target: CheckTarget) -> str:
    """Check that the embeddings of different images still differ after 100 training steps."""
    case = MethodCase(target)
    method = case.fresh(dtype=torch.float32)
    projectors = [name for name, feeder in method.heads.items() if feeder == "backbone"]
    spreads: dict[str, float] = {}
    for name in projectors or ["backbone"]:
        getattr(method, name).register_forward_hook(_record_spread(spreads, name))
    losses = [loss for loss, _ in case.train(method, 1, count=32, optimizer=_adam)]
    initial_spreads = dict(spreads)
    losses += [
        loss for loss, _ in case.train(method, NUM_STEPS - 1, start=1, count=32, optimizer=_adam)
    ]
    if not math.isfinite(losses[-1]):
        raise CheckFailure(
            f"within {NUM_STEPS} steps of Adam at a learning rate of 0.01 the loss becomes "
            f"{losses[-1]}",
            "the method diverges on data that is easy to learn",
            "normalise embeddings, and add an epsilon to divisors, roots and logarithms",
        )
    name, spread = min(spreads.items(), key=lambda pair: pair[1])
    if spread < MIN_SPREAD:
        raise CheckFailure(
            f"after {NUM_STEPS} steps the {name}'s outputs of all images are nearly the same "
            f"(spread {spread:.3f} of 1; {initial_spreads[name]:.3f} before the first step)",
            "the loss falls although nothing is learned",
            "check what keeps images apart: the stop-gradient, negatives, a variance term, "
            "centring and temperatures; if the outputs are alike from the start, check whether a "
            "head lacks batch norm",
        )
    return f"spread {spread:.2f}, loss {losses[0]:.3g} to {losses[-1]:.3g}"


def _adam(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return Adam, because its step size does not depend on the scale of the loss."""
    return torch.optim.Adam(parameters, lr=0.01)


def _record_spread(spreads: dict[str, float], name: str) -> Callable[..., None]:
    """Return a forward hook that stores the spread of a module's output under a name."""

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        unit = functional.normalize(output.detach().float(), dim=1)
        spreads[name] = float(unit.std(dim=0).mean() * math.sqrt(unit.shape[1]))

    return hook


def overhead(target: CheckTarget) -> str:
    """Check that a step takes at most five times as long as the networks it calls."""
    case = MethodCase(target)
    method = case.fresh(dtype=torch.float32)
    batch = case.batch(64, dtype=torch.float32)
    calls = _network_calls(case, method, batch)

    def step() -> None:
        case.step(method, batch).loss.backward()

    def networks() -> None:
        total: Tensor = torch.zeros(())
        for module, inputs, has_gradient in calls:
            with torch.set_grad_enabled(has_gradient):
                out = module(inputs).sum()
            total = total + out
        total.backward()

    times: dict[Callable[[], None], list[float]] = {step: [], networks: []}
    for _ in range(NUM_TIMINGS):  # alternate, so that other load on the machine affects both
        for work, seconds in times.items():
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    ratio = statistics.median(times[step]) / statistics.median(times[networks])
    if ratio > MAX_OVERHEAD:
        raise CheckFailure(
            f"a step takes {ratio:.1f} times as long as its networks alone",
            "the rest is loops and copies, which grow with the batch",
            "replace Python loops over images by one operation on the whole batch",
        )
    return f"{ratio:.2f} times its networks alone"


def _network_calls(
    case: MethodCase, method: Method, batch: Batch
) -> list[tuple[nn.Module, Tensor, bool]]:
    """Return the network calls in a step: module, input, and whether gradients are enabled."""
    calls: list[tuple[nn.Module, Tensor, bool]] = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls.append((module, inputs[0].detach(), torch.is_grad_enabled()))

    names = ["backbone", *method.heads, *(f"ema_{name}" for name in method.ema)]
    handles = [getattr(method, name).register_forward_pre_hook(record) for name in names]
    case.step(method, batch)
    for handle in handles:
        handle.remove()
    return calls

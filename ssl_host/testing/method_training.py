"""Check that a short training does not collapse, and that steps add little overhead."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ssl_host.contracts.batch import Batch
from ssl_host.contracts.loss import Loss
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone, Tokens
from ssl_host.testing.harness import MethodCase
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.spread import feature_spread

NUM_STEPS = 100
"""Number of training steps for convolutional networks."""
NUM_TRANSFORMER_STEPS = 40
"""Number of training steps for vision transformers, which are slower."""
WARMUP_STEPS = 20
"""Number of earlier steps with a small learning rate, for methods with EMA copies."""
MIN_SPREAD = 0.1
"""Smallest spread of unit-length embeddings, relative to a uniform distribution."""
MIN_TOKEN_SPREAD = 1e-3
"""Smallest spread for methods that train tokens without a projector, such as MAE.

The pooled features of different images are close after 100 steps, but must not be equal.
"""
MAX_OVERHEAD = 5.0
"""Longest duration of a step, relative to the duration of its network calls alone."""
NUM_TIMINGS = 7
"""Number of times that a step is timed; the median is used."""


def no_collapse(target: CheckTarget) -> str:
    """Check that the embeddings of different images still differ after a short training.

    It has 100 steps, or 40 for vision transformers.
    """
    case = MethodCase(target)
    method = case.fresh(dtype=torch.float32)
    adam = _adam(method)
    num_steps = NUM_STEPS if method.backbone.patch_size is None else NUM_TRANSFORMER_STEPS
    if method.ema:  # as in a run, where a teacher's centre converges during the warm-up
        case.train(method, WARMUP_STEPS, count=32, optimizer=_adam(method, 0.01))
    initial_spreads = _spreads(case, method)
    losses = [loss for loss, _ in case.train(method, num_steps, count=32, optimizer=adam)]
    spreads = _spreads(case, method)
    if not math.isfinite(losses[-1]):
        raise CheckFailure(
            f"within {num_steps} steps of Adam the loss becomes {losses[-1]}",
            "the method diverges on data that is easy to learn",
            "normalise embeddings, and add an epsilon to divisors, roots and logarithms",
        )
    name, spread = min(spreads.items(), key=lambda pair: pair[1])
    is_token_method = method.needs_tokens and not method.heads
    if spread < (MIN_TOKEN_SPREAD if is_token_method else MIN_SPREAD):
        raise CheckFailure(
            f"after {num_steps} steps the {name}'s outputs of all images are nearly the same "
            f"(spread {spread:.3f} of 1; {initial_spreads[name]:.3f} before the first step)",
            "the loss falls although nothing is learned",
            "check what keeps images apart: the stop-gradient, negatives, a variance term, "
            "centring and temperatures; if the outputs are nearly the same from the start, check "
            "whether a head has no batch norm",
        )
    return f"spread {spread:.2f}, loss {losses[0]:.3g} to {losses[-1]:.3g}"


@torch.no_grad()
def _spreads(case: MethodCase, method: Method) -> dict[str, float]:
    """Return the spread of the outputs of the projectors, or of the encoder if there are none.

    If the evaluated encoder is an EMA copy, the EMA copies of the projectors are used.
    """
    prefix = "ema_" if method.encoder.startswith("ema_") else ""
    features = getattr(method, method.encoder)(case.batch(32, dtype=torch.float32).views[0])
    projectors = [
        f"{prefix}{name}" for name, feeder in method.heads.items() if feeder == "backbone"
    ]
    outputs = {n: getattr(method, n)(features) for n in projectors if hasattr(method, n)}
    return {
        n: feature_spread(output.detach())
        for n, output in (outputs or {method.encoder: features}).items()
    }


def _adam(
    method: Method, factor: float = 1.0
) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    """Return a function that creates an Adam optimizer for a list of parameters.

    The step size of Adam does not depend on the scale of the loss. Transformers need a smaller
    learning rate than convolutional networks with batch norm.
    """
    lr = factor * (0.01 if method.backbone.patch_size is None else 0.001)
    return lambda parameters: torch.optim.Adam(parameters, lr=lr)


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
        for call, has_gradient in calls:
            with torch.set_grad_enabled(has_gradient):
                out = call()
            total = (
                total + (out.pooled + out.patches.sum() if isinstance(out, Tokens) else out).sum()
            )
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
            "the rest of the time goes into loops and copies, and grows with the batch",
            "replace Python loops over images by one operation on the whole batch",
        )
    return f"{ratio:.2f} times its networks alone"


def _detach(value: Any) -> Any:
    """Return a tensor or the tokens of a batch without their gradient graph."""
    if isinstance(value, Tokens):
        single = (value.prefix.detach(), value.patches.detach(), value.pooled.detach())
        lists = (value.blocks, value.prefix_blocks)
        return Tokens(*single, *(tuple(block.detach() for block in blocks) for blocks in lists))
    return value.detach() if isinstance(value, Tensor) else value


def _network_calls(
    case: MethodCase, method: Method, batch: Batch
) -> list[tuple[Callable[[], Any], bool]]:
    """Return each network call of a step as a function, and True if it computes gradients."""
    calls: list[tuple[Callable[[], Any], bool]] = []

    def record(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        call = partial(module, *map(_detach, inputs), **keywords)
        calls.append((call, torch.is_grad_enabled()))

    def recording_tokens(network: Backbone) -> Callable[..., Tokens]:
        tokens = network.tokens

        def call(*inputs: Any, **keywords: Any) -> Tokens:
            calls.append((partial(tokens, *inputs, **keywords), torch.is_grad_enabled()))
            return tokens(*inputs, **keywords)

        return call

    # Every module of the method itself, such as a decoder, counts as one of its networks.
    networks = [module for module in method.children() if not isinstance(module, Loss)]
    handles = [m.register_forward_pre_hook(record, with_kwargs=True) for m in networks]
    backbones = [network for network in networks if isinstance(network, Backbone)]
    for network in backbones:
        network.tokens = recording_tokens(network)  # type: ignore[method-assign]
    case.step(method, batch)
    for network in backbones:
        del network.tokens
    for handle in handles:
        handle.remove()
    return calls

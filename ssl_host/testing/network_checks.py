"""Backbones, heads and losses."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import torch
from torch import Tensor, nn

from ssl_host.testing.component_checks import judge_reading, watched
from ssl_host.testing.distributed import average_gradients, distance, run_distributed
from ssl_host.testing.method_checks import EXACT
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.distributed import rank, world_size

COUNT = 8
IN_DIM = 12
SIZE = 32


def _network(target: CheckTarget, seed: int = 0, settings: Any = None) -> nn.Module:
    torch.manual_seed(seed)
    context: dict[str, int] = {"in_dim": IN_DIM}
    if target.kind == "backbone":
        context = {"in_channels": 3, "image_size": SIZE}
    network: nn.Module = target.make(settings, **context)
    return network


def _inputs(target: CheckTarget, count: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    shape = (count, channels, SIZE, SIZE) if target.kind == "backbone" else (count, IN_DIM)
    return torch.randn(*shape, generator=generator)


def output_shape(target: CheckTarget) -> str:
    """B rows of the promised width, finite, for a batch of 2, an odd and a large one."""
    network = _network(target).train()
    promise = "feature_dim" if target.kind == "backbone" else "output_dim"
    wanted = getattr(network, promise)
    for count in (2, 5, 33):
        out = network(_inputs(target, count))
        if tuple(out.shape) != (count, wanted) or not torch.isfinite(out).all():
            finite = "" if torch.isfinite(out).all() else ", not all of it finite"
            raise CheckFailure(
                f"for {count} inputs the output is {tuple(out.shape)}{finite}",
                f"what follows is sized by self.{promise}, which is {wanted}",
                f"return B x {wanted}, or set self.{promise} to what is returned; pool over space",
            )
    return f"{wanted} wide"


def gradients(target: CheckTarget) -> str:
    """Every trainable parameter gets a gradient."""
    network = _network(target).train()
    out = network(_inputs(target, 8))
    # Random weights: the plain sum of a batch norm's output is constant.
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
    (out * weights).sum().backward()
    lost = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    if lost:
        raise CheckFailure(
            f"{lost[0]} gets no gradient",
            "it stays as it was initialised; data-parallel training stops with an error",
            "use it in forward(), or remove the layer (a classifier that is not needed?)",
        )
    return f"{sum(p.numel() for p in network.parameters()):,} parameters"


@torch.no_grad()
def deterministic_in_eval_mode(target: CheckTarget) -> str:
    """In evaluation mode an input's output depends on no other input, and on no chance."""
    network = _network(target).eval()
    inputs = _inputs(target, 6)
    whole = network(inputs)
    one = torch.cat([network(inputs[i : i + 1]) for i in range(6)])
    gap = max(distance(one, whole), distance(network(inputs), whole))
    if gap > 1e-4:
        raise CheckFailure(
            f"in evaluation mode the same input gives outputs that differ by {gap:.1e}",
            "features and figures would depend on the batch",
            "let dropout and batch statistics be off when self.training is False",
        )
    return ""


@torch.no_grad()
def state_dict_round_trip(target: CheckTarget) -> str:
    """Another instance that loads the state gives the same outputs; so does a deep copy."""
    network = _network(target, seed=0).eval()
    twin = _network(target, seed=1).eval()
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    inputs = _inputs(target, 4)
    for other in (twin, copy.deepcopy(network)):
        if not torch.equal(other(inputs), network(inputs)):
            raise CheckFailure(
                "an instance that has loaded the state gives another output",
                "a checkpoint or an exported file would be another network",
                "keep all weights and tables in parameters, modules or register_buffer()",
            )
    return f"{len(network.state_dict())} tensors"


def export(target: CheckTarget) -> str:
    """``export`` gives a module with the weights and a description that JSON can hold."""
    network: Any = _network(target)
    module, about = network.export()
    try:
        json.dumps(about)
    except (TypeError, ValueError) as error:
        raise CheckFailure(
            f"export() describes its maker by what JSON cannot hold: {error}",
            "backbone.json says how another program makes the network again",
            'return plain values, such as {"library": "timm", "model": "resnet18"}',
        ) from None
    inside = {p.data_ptr() for p in module.parameters()}
    lost = [n for n, p in network.named_parameters() if p.data_ptr() not in inside]
    if lost:
        raise CheckFailure(
            f"export() leaves out {lost[0]}",
            "backbone.safetensors would be a part of the network",
            "return the module that holds all weights",
        )
    _check_code(module, about.get("code", []))
    return str(about.get("library", ""))


def _check_code(module: nn.Module, code: list[str]) -> None:
    if not code:
        return
    names: dict[str, Any] = {}
    try:
        exec("\n".join(code), names)
        names["model"].load_state_dict(module.state_dict())
    except Exception as error:  # whatever the lines raise
        raise CheckFailure(
            f"the code that export() gives makes another module: {error}",
            "the card of an exported backbone shows it, and it would not load there",
            "give every line that makes the module, as `model`, and changes its layers",
        ) from None


def autocast(target: CheckTarget) -> str:
    """Under bfloat16 autocast the output is finite."""
    network = _network(target).train()
    with torch.autocast("cpu", torch.bfloat16):
        out = network(_inputs(target, 8))
    if not torch.isfinite(out).all():
        raise CheckFailure(
            "under bfloat16 autocast the output is not finite",
            "it is what GPUs and newer CPUs choose by themselves",
            "compute sensitive sums in float32",
        )
    return ""


def settings_declared(target: CheckTarget) -> str:
    """Nothing is read that Config does not declare."""
    settings, read, unknown = watched(target.make_settings())
    if target.kind == "loss":
        target.make(settings)(*_embeddings(COUNT))
    else:
        _network(target, settings=settings)(_inputs(target, 4))
    return judge_reading(target, read, unknown, set())


# -- losses ---------------------------------------------------------------------------------


def _embeddings(count: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    made = torch.randn(2, count, IN_DIM, generator=generator, dtype=torch.float64)
    return [z.to(dtype).requires_grad_() for z in made]


def finite_loss(target: CheckTarget) -> str:
    """``loss(a, b)`` of two embeddings B D is a finite scalar with a gradient to one of them."""
    loss = target.make()
    for count in (2, 5, 33):
        given = _embeddings(count)
        value = loss(*given)
        if value.ndim or not torch.isfinite(value):
            raise CheckFailure(
                f"for {count} embeddings the loss is {value.detach().tolist()}",
                "the host takes a finite scalar",
                "take the mean over images",
            )
        gradients = torch.autograd.grad(value, given, allow_unused=True)
        if all(g is None or not g.any() for g in gradients):
            raise CheckFailure(
                "no gradient reaches the embeddings",
                "nothing would be learned",
                "detach no more than one of them, and compute nothing under no_grad()",
            )
    return ""


def degenerate_embeddings(target: CheckTarget) -> str:
    """Embeddings that are zero or all alike give no nan, in the loss or its gradient."""
    loss = target.make()
    same = torch.ones(6, IN_DIM, dtype=torch.float64)
    for what, rows in (("zero", torch.zeros_like(same)), ("all alike", same)):
        given = [rows.clone().requires_grad_(), rows.clone().requires_grad_()]
        value = loss(*given)
        gradients = torch.autograd.grad(value, given, allow_unused=True)
        bad = [g for g in gradients if g is not None and not torch.isfinite(g).all()]
        if not torch.isfinite(value) or bad:
            raise CheckFailure(
                f"embeddings that are {what} give {'a gradient' if bad else 'a loss'} that is "
                "not finite",
                "dead units and collapses would end in nan instead of a warning",
                "normalise by functional.normalize, add an epsilon under roots",
            )
    return ""


def batch_order(target: CheckTarget) -> str:
    """The loss does not depend on the order of the images."""
    loss = target.make()
    given = _embeddings(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    gap = distance(loss(*(z[order] for z in given)).detach(), loss(*given).detach())
    if gap > EXACT:
        raise CheckFailure(
            f"in another order of the images the loss differs by {gap:.1e}",
            "what is learned would depend on how a folder is sorted",
            "pair row i of one view with row i of the other, and compare with all others alike",
        )
    return f"to {gap:.0e}"


def one_process_equals_two(target: CheckTarget) -> str:
    """On two processes the gradient is that of one process with the whole batch."""
    wanted = _gradient(target)
    for found in run_distributed(_gradient, target):
        gap = distance(found, wanted)
        if gap > EXACT:
            raise CheckFailure(
                f"on two processes the gradient is off by {gap:.1e}",
                "with every further GPU another loss would be minimised",
                "compare images over all processes by ssl_host.gather(z), offset labels by "
                "gather_offset(z), and take the mean over this process's own images",
            )
    return ""


def _gradient(target: CheckTarget) -> Tensor:
    """Of a shared linear layer, averaged as data-parallel training does."""
    loss = target.make()
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(IN_DIM, IN_DIM, generator=generator, dtype=torch.float64))
    each = COUNT // world_size()
    share = slice(rank() * each, (rank() + 1) * each)
    first, second = (z.detach()[share] @ weight for z in _embeddings(COUNT))
    loss(first, second).backward()
    average_gradients([weight])
    assert weight.grad is not None
    return weight.grad

"""Conformance checks for backbones and heads."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import torch
from torch import Tensor, nn

from ssl_host.contracts.settings import Settings
from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.distributed import distance
from ssl_host.testing.method_checks import BATCH_SIZES
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget

IN_DIM = 12
IMAGE_SIZE = 32


def _build(target: CheckTarget, seed: int = 0, settings: Settings | None = None) -> nn.Module:
    """Return a new backbone or head, with weights that depend on the seed."""
    torch.manual_seed(seed)
    build_args = {"in_dim": IN_DIM}
    if target.kind == "backbone":
        build_args = {"in_channels": 3, "image_size": IMAGE_SIZE}
    network: nn.Module = target.make(settings, **build_args)
    return network


def _inputs(target: CheckTarget, count: int) -> Tensor:
    """Return random images for a backbone, or random features for a head."""
    generator = torch.Generator().manual_seed(count)
    is_backbone = target.kind == "backbone"
    shape = (count, 3, IMAGE_SIZE, IMAGE_SIZE) if is_backbone else (count, IN_DIM)
    return torch.randn(*shape, generator=generator)


def settings_declared(target: CheckTarget) -> str:
    """Check that the network reads only settings that its Config declares."""
    settings, read, unknown = track_reads(target.make_settings())
    _build(target, settings=settings)(_inputs(target, 4))
    return check_recorded_reads(target, read, unknown)


def output_shape(target: CheckTarget) -> str:
    """Check that outputs for 2, 5 and 33 inputs are finite and have the declared width."""
    network = _build(target).train()
    attribute = "feature_dim" if target.kind == "backbone" else "output_dim"
    width = getattr(network, attribute)
    for count in BATCH_SIZES:
        out = network(_inputs(target, count))
        is_finite = bool(torch.isfinite(out).all())
        if tuple(out.shape) != (count, width) or not is_finite:
            raise CheckFailure(
                f"the output for {count} inputs has the shape {tuple(out.shape)}"
                + ("" if is_finite else " and values that are not finite"),
                f"heads and probes are built for the width self.{attribute}, which is {width}",
                f"return shape (B, {width}), or set self.{attribute} to the width of the output; a "
                "backbone must pool over height and width",
            )
    return f"width {width}"


def gradients(target: CheckTarget) -> str:
    """Check that every trainable parameter gets a gradient."""
    network = _build(target).train()
    out = network(_inputs(target, 8))
    # Random weights, because the plain sum of a batch norm's output is constant.
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
    (out * weights).sum().backward()
    missing = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    if missing:
        raise CheckFailure(
            f"{missing[0]} gets no gradient",
            "it keeps its initial value, and data-parallel training stops with an error",
            "use it in forward(), or remove the layer (such as an unused classifier)",
        )
    return f"{sum(p.numel() for p in network.parameters()):,} parameters"


@torch.no_grad()
def deterministic_in_eval_mode(target: CheckTarget) -> str:
    """Check that outputs in evaluation mode do not depend on other inputs in the batch."""
    network = _build(target).eval()
    inputs = _inputs(target, 6)
    expected = network(inputs)
    one_by_one = torch.cat([network(inputs[i : i + 1]) for i in range(6)])
    error = max(distance(one_by_one, expected), distance(network(inputs), expected))
    if error > 1e-4:
        raise CheckFailure(
            f"in evaluation mode the outputs for the same input differ by {error:.1e}",
            "features and metrics would depend on the batch",
            "turn off dropout and batch statistics when self.training is False",
        )
    return ""


@torch.no_grad()
def state_dict_round_trip(target: CheckTarget) -> str:
    """Check that a reloaded state dict and a deep copy both give the same outputs."""
    network = _build(target, seed=0).eval()
    restored = _build(target, seed=1).eval()
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    restored.load_state_dict(torch.load(buffer, weights_only=True))
    inputs = _inputs(target, 4)
    for other in (restored, copy.deepcopy(network)):
        if not torch.equal(other(inputs), network(inputs)):
            raise CheckFailure(
                "a deep copy or an instance that loads the state dict gives a different output",
                "checkpoints and exported files would contain a different network",
                "keep all weights and tables in parameters, modules or register_buffer()",
            )
    return f"{len(network.state_dict())} tensors"


def export(target: CheckTarget) -> str:
    """Check that ``export`` returns a module with all weights, and a JSON-serialisable dict."""
    network: Any = _build(target)
    module, description = network.export()
    try:
        json.dumps(description)
    except (TypeError, ValueError) as error:
        raise CheckFailure(
            f"the description that export() returns cannot be written as JSON: {error}",
            "other programs build the network from backbone.json",
            'return plain values, such as {"library": "timm", "model": "resnet18"}',
        ) from None
    exported = {p.data_ptr() for p in module.parameters()}
    missing = [n for n, p in network.named_parameters() if p.data_ptr() not in exported]
    if missing:
        raise CheckFailure(
            f"the module that export() returns does not have {missing[0]}",
            "backbone.safetensors would be incomplete",
            "return the module that contains all weights",
        )
    _check_code(module, description.get("code", []))
    return str(description.get("library", ""))


def _check_code(module: nn.Module, code: list[str]) -> None:
    """Raise CheckFailure if a model that the exported code builds cannot load the weights.

    Args:
        module: the module that ``export`` returned.
        code: lines of Python that create the model; nothing is checked if the list is empty.
    """
    if not code:
        return
    names: dict[str, Any] = {}
    try:
        exec("\n".join(code), names)
        names["model"].load_state_dict(module.state_dict())
    except Exception as error:  # the code comes from the plugin's author and can raise anything
        raise CheckFailure(
            f"the code that export() returns builds a different module: {error}",
            "model cards show this code, and it would fail to load the weights",
            "return every line that creates the module as `model` and changes its layers",
        ) from None


def autocast(target: CheckTarget) -> str:
    """Check that the output is finite under bfloat16 autocast."""
    network = _build(target).train()
    with torch.autocast("cpu", torch.bfloat16):
        out = network(_inputs(target, 8))
    if not torch.isfinite(out).all():
        raise CheckFailure(
            "under bfloat16 autocast the output is not finite",
            "GPUs and recent CPUs train in bfloat16 by default",
            "compute sensitive sums in float32",
        )
    return ""

"""Stateless functions for the stages of a training step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.batch import Batch, Progress, StepOutput, merge_outputs
from ssl_host.contracts.method import EpochImages, Method
from ssl_host.errors import PluginError
from ssl_host.train.param_groups import drop_frozen_gradients


class InvalidOutputError(PluginError):
    """Raised when the ``step`` of an SSL method returns an output that cannot be trained on."""


def overrides_epoch_start(method: Method) -> bool:
    """Return True if a method overrides ``on_epoch_start``."""
    return type(method).on_epoch_start is not Method.on_epoch_start


@torch.no_grad()
def start_epoch(
    method: Method, images: EpochImages, progress: Progress, seed: int, device: torch.device
) -> None:
    """Call a method's ``on_epoch_start`` in evaluation mode and without autocast.

    Args:
        method: the SSL method.
        images: the training images.
        progress: the value of ``method.progress`` during the call.
        seed: the seed for torch's generator.
        device: the device of the networks.

    Raises:
        PluginError: if the method fails; the message contains the line that failed.
    """
    method.progress = progress
    seed_torch(seed, device)
    method.eval()
    with (
        attribute_errors(method, f"in on_epoch_start of epoch {progress.epoch}"),
        # Clustering in bfloat16 merges clusters; a method may switch autocast on again.
        torch.autocast(device.type, enabled=False),
    ):
        method.on_epoch_start(images)
    method.train()


def compute_output(method: Method, batch: Batch, progress: Progress, seed: int) -> StepOutput:
    """Seed torch, call ``method.step``, check its output and return it.

    Args:
        method: the SSL method.
        batch: the views of one micro-batch.
        progress: the value of ``method.progress`` during the step.
        seed: the seed for torch's generator, which dropout and stochastic depth use.

    Raises:
        InvalidOutputError: if the output is not a StepOutput, or its loss is not a scalar that
            requires a gradient.
    """
    seed_torch(seed, batch.index.device)
    method.progress = progress
    output = method.step(batch)
    check_output(method, output)
    return output


def check_output(method: Method, output: StepOutput) -> None:
    """Check that a step returned a StepOutput with a scalar loss that requires a gradient.

    Raises:
        InvalidOutputError: if the step returned anything else.
    """
    name = f"{type(method).__qualname__}.step"
    if not isinstance(output, StepOutput):
        raise InvalidOutputError(
            f"{name} returned {type(output).__name__}; return StepOutput(loss, features=...)"
        )
    loss = output.loss
    if loss.ndim:
        shape = "x".join(map(str, loss.shape))
        raise InvalidOutputError(
            f"{name} returned a loss of shape {shape}; return a scalar, such as its mean"
        )
    if not loss.requires_grad:
        raise InvalidOutputError(
            f"{name} returned a loss without a gradient: it is detached or was computed under "
            "torch.no_grad; compute it from the outputs of the networks"
        )


@dataclass(frozen=True)
class GradientClip:
    """Gradient clipping settings: the limit, and what it applies to.

    Attributes:
        limit: the maximum norm or value; None means no clipping.
        by: ``norm``, ``value``, ``parameter`` or ``module``, as ``[trainer] gradient_clip_by``.
    """

    limit: float | None = None
    by: str = "norm"


NO_CLIP = GradientClip()


@torch.no_grad()
def clip_gradients(method: Method, optimizer: torch.optim.Optimizer, clip: GradientClip) -> None:
    """Clip the gradients of all parameters in place; do nothing if ``clip.limit`` is None."""
    if clip.limit is None:
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if clip.by == "value":
        torch.nn.utils.clip_grad_value_(parameters, clip.limit)
    elif clip.by == "norm":
        torch.nn.utils.clip_grad_norm_(parameters, clip.limit)
    elif clip.by == "parameter":
        for parameter in parameters:
            torch.nn.utils.clip_grad_norm_(parameter, clip.limit)
    else:
        # Lists, because torch warns about an empty generator, and a loss may have no parameters.
        modules = [list(module.parameters()) for module in method.children()]
        modules.append(list(method.parameters(recurse=False)))  # a mask token, for example
        for parameters in modules:
            torch.nn.utils.clip_grad_norm_(parameters, clip.limit)


@torch.no_grad()
def prepare_gradients(
    method: Method,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    clip: GradientClip = NO_CLIP,
) -> None:
    """Call ``before_optimizer_step``, remove gradients of frozen groups and clip all others.

    Args:
        method: the SSL method.
        optimizer: the torch optimizer.
        progress: the counters of the step.
        clip: how to clip the gradients.
    """
    with attribute_errors(method, f"in before_optimizer_step of step {progress.step}"):
        method.before_optimizer_step()
    drop_frozen_gradients(optimizer, progress.step, progress.total_steps)
    clip_gradients(method, optimizer, clip)


def finish_step(method: Method, outputs: list[StepOutput], progress: Progress) -> None:
    """Update EMA copies, queues and schedules after the optimizer has stepped.

    Args:
        method: the SSL method.
        outputs: the outputs of ``method.step`` for the micro-batches of the step.
        progress: the counters of the step.
    """
    with attribute_errors(method, f"after optimizer step {progress.step}"):
        output = merge_outputs(outputs)
        method.finish_step(output, progress.step, progress.total_steps, progress.epoch)


def run_optimizer_step(
    method: Method,
    optimizer: torch.optim.Optimizer,
    outputs: list[StepOutput],
    progress: Progress,
) -> None:
    """Run one optimizer step without Lightning, mixed precision or gradient clipping.

    The conformance kit trains with it.

    Args:
        method: the SSL method, whose gradients are complete.
        optimizer: the torch optimizer.
        outputs: the outputs of ``method.step`` for the micro-batches of the step.
        progress: the counters of the step.
    """
    prepare_gradients(method, optimizer, progress)
    optimizer.step()
    finish_step(method, outputs, progress)


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed torch's default CPU generator and, for a GPU, also the GPU's generator."""
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    torch.default_generator.manual_seed(seed)


def autocast(device_type: str, precision: str) -> torch.autocast:
    """Return the ``torch.autocast`` context for a value of ``[trainer] precision``.

    It uses float16 for 16-mixed and bfloat16 for bf16-mixed; for other values it does nothing.
    """
    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device_type, dtype, enabled=precision.endswith("mixed"))

"""The stages of a training step as functions of a method, without any state."""

from __future__ import annotations

import torch

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.batch import Batch, Progress, StepOutput, merge_outputs
from ssl_host.contracts.method import Method
from ssl_host.errors import PluginError
from ssl_host.train.param_groups import drop_frozen_gradients


class InvalidOutputError(PluginError):
    """A method's ``step`` returns something that cannot be trained on."""


def compute_output(method: Method, batch: Batch, progress: Progress, seed: int) -> StepOutput:
    """Call ``method.step`` with seeded random numbers and check what it returns.

    Args:
        progress: what ``method.progress`` is during the step.
        seed: of torch's generator; dropout and stochastic depth draw from it.

    Raises:
        InvalidOutputError: if the output is not a StepOutput with a scalar loss and a gradient.
    """
    seed_torch(seed, batch.index.device)
    method.progress = progress
    output = method.step(batch)
    check_output(method, output)
    return output


def check_output(method: Method, output: StepOutput) -> None:
    """Check the type of a step's output, and that its loss is a scalar with a gradient.

    Raises:
        InvalidOutputError: if it is not.
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
            f"{name} returned a loss without a gradient: it is detached, or computed under no_grad"
        )


@torch.no_grad()
def prepare_gradients(
    method: Method,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    max_norm: float | None = None,
) -> None:
    """Run the method's hook on complete gradients, drop those of frozen groups, then clip.

    Args:
        max_norm: largest norm of the whole gradient; None does not clip.
    """
    with attribute_errors(method, f"in before_optimizer_step of step {progress.step}"):
        method.before_optimizer_step()
    drop_frozen_gradients(optimizer, progress.step, progress.total_steps)
    if max_norm is not None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, max_norm)


def finish_step(method: Method, outputs: list[StepOutput], progress: Progress) -> None:
    """Update EMA copies, queues and schedules after the optimizer has stepped.

    Args:
        outputs: of the step's micro-batches.
    """
    with attribute_errors(method, f"after optimizer step {progress.step}"):
        output = merge_outputs(outputs)
        method.finish_step(output, progress.step, progress.total_steps, progress.epoch)


def update(
    method: Method,
    optimizer: torch.optim.Optimizer,
    outputs: list[StepOutput],
    progress: Progress,
    max_norm: float | None = None,
) -> None:
    """Step the optimizer with the present gradients, and everything that follows.

    Args:
        outputs: of the step's micro-batches, whose gradients are accumulated.
        max_norm: largest norm of the whole gradient; None does not clip.
    """
    prepare_gradients(method, optimizer, progress, max_norm)
    optimizer.step()
    finish_step(method, outputs, progress)


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed torch's default generator of the CPU, and of a CUDA device."""
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    torch.default_generator.manual_seed(seed)


def autocast(device_type: str, precision: str) -> torch.autocast:
    """Return the context in which ``[trainer] precision`` computes a step."""
    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device_type, dtype, enabled=precision.endswith("mixed"))

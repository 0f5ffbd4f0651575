"""A step whose numbers were not finite, written so that it can be computed again."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from ssl_host.contracts.batch import Batch, Progress, StepOutput
from ssl_host.contracts.method import Method
from ssl_host.errors import CheckpointError
from ssl_host.toolkit.atomic_io import atomic_write
from ssl_host.toolkit.bf16_conv_workaround import run_small_convs_in_float32

FILE = "non_finite.ckpt"
_UNREADABLE = (
    *(OSError, EOFError, UnpicklingError, RuntimeError),
    *(KeyError, TypeError, ValueError),
)


@dataclass
class FailedStep:
    """A method as it was when a step failed, and what it was given.

    Attributes:
        method: in training mode, on the CPU when it has been read.
        batch: its views, with the numbers of their images.
        names: of those images.
        precision: ``[trainer] precision`` of the run.
        seed: what dropout and stochastic depth drew from.
    """

    method: Method
    batch: Batch
    names: list[str]
    progress: Progress
    precision: str
    seed: int

    def again(self) -> StepOutput:
        """Compute the step once more, on the CPU.

        In the run's precision, and in its random numbers where that was a CPU's too.
        """
        torch.default_generator.manual_seed(self.seed)
        self.method.progress = self.progress
        with mixed("cpu", self.precision):
            return self.method.step(self.batch)


def mixed(device: str, precision: str) -> torch.autocast:
    """The context in which a step of ``[trainer] precision`` is computed."""
    number = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device, number, enabled=precision.endswith("mixed"))


def remove_failed_steps(folder: Path) -> None:
    """Remove what an earlier process wrote: the run goes on, and meets the step again or not."""
    for file in (folder / FILE, *folder.glob(f"rank-*-{FILE}")):
        file.unlink(missing_ok=True)


def gradient_sum(weights: Iterable[nn.Parameter]) -> float:
    """Of all gradients' numbers: not finite where one of them is not.

    It is taken in every step: a sum costs two thirds of a norm.
    """
    sums = [weight.grad.sum() for weight in weights if weight.grad is not None]
    return torch.stack(sums).sum().item() if sums else 0.0


def cause(method: Method, batch: Batch) -> str:
    """Where the numbers were lost, as far as it can be seen from a step's beginning."""
    if not all(torch.isfinite(view).all() for view in batch.views):
        return "; the views themselves are not finite: look at the augmentation"
    lost = [name for name, p in method.named_parameters() if not torch.isfinite(p).all()]
    if lost:
        return f"; the weights had been lost in the step before, {lost[0]} first: it exploded"
    gradient = [
        name
        for name, p in method.named_parameters()
        if p.grad is not None and not torch.isfinite(p.grad).all()
    ]
    return f"; it is the gradient of {gradient[0]}" if gradient else ""


def write_failed_step(folder: Path, failed: FailedStep, rank: int) -> Path:
    """Write ``non_finite.ckpt``; a process that is not the first puts its rank in the name.

    Raises:
        OSError: when it cannot be written.
    """
    path = folder / (FILE if rank == 0 else f"rank-{rank}-{FILE}")
    batch, progress = failed.batch, failed.progress
    state = {
        "sizes": [failed.method.backbone.in_channels, failed.method.backbone.image_size],
        "method": failed.method.state_dict(),
        "views": batch.views,
        "index": batch.index,
        "labels": batch.labels,
        "num_global": batch.num_global,
        "names": failed.names,
        "progress": [progress.step, progress.total_steps, progress.epoch],
        "precision": failed.precision,
        "seed": failed.seed,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(path, buffer.getbuffer())
    return path


def read_failed_step(path: Path, make_method: Callable[[int, int], Method]) -> FailedStep:
    """The step in a file. No code in the file is run.

    Args:
        make_method: gives the run's method for input channels and image size.

    Raises:
        CheckpointError: when the file is damaged or none of these.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        method = make_method(*state["sizes"])
        if state["precision"] == "64-true":
            method.double()
        method.load_state_dict(state["method"])
        if state["precision"] == "bf16-mixed":
            run_small_convs_in_float32(method)
        step, total_steps, epoch = state["progress"]
        batch = Batch(state["views"], state["index"], state["labels"], state["num_global"])
        progress = Progress(step, total_steps, epoch)
        found = FailedStep(
            method, batch, state["names"], progress, state["precision"], state["seed"]
        )
    except _UNREADABLE as error:
        raise CheckpointError(f"{path} holds no failed step: {error}") from None
    method.train()
    return found

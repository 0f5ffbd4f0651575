"""Write a training step with non-finite numbers to a file, and read it back for a replay."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ssl_host.contracts.batch import Batch, Plan, Progress, StepOutput
from ssl_host.contracts.method import Method
from ssl_host.contracts.rng import BatchRNG
from ssl_host.errors import CheckpointError
from ssl_host.toolkit.atomic_io import atomic_write
from ssl_host.toolkit.bf16_conv_workaround import run_padding_only_convs_in_float32
from ssl_host.train.step import autocast, compute_output

FILE_NAME = "non_finite.ckpt"
_READ_ERRORS = (
    *(OSError, EOFError, UnpicklingError, RuntimeError),
    *(KeyError, TypeError, ValueError),
)


@dataclass
class FailedStep:
    """Training step that produced non-finite numbers, with the method and the batch.

    Attributes:
        method: the SSL method with its weights at the time of the failure; if it was read from a
            file, it is on the CPU.
        batch: the views of the images, and the index of each image in the training set.
        names: the name of each image in the batch.
        progress: the step, the total number of steps and the epoch.
        precision: the value of ``[trainer] precision`` in the run.
        seed: the random seed for dropout and stochastic depth.
    """

    method: Method
    batch: Batch
    names: list[str]
    progress: Progress
    precision: str
    seed: int

    def replay(self) -> StepOutput:
        """Return the loss of the step, computed again on the CPU at the run's precision.

        The random numbers are the same as in the run if the run also used a CPU.
        """
        with autocast("cpu", self.precision):
            return compute_output(self.method, self.batch, self.progress, self.seed)


def remove_failed_steps(folder: Path) -> None:
    """Remove all files of failed steps from a run folder, before the run starts or resumes."""
    for file in (folder / FILE_NAME, *folder.glob(f"rank-*-{FILE_NAME}")):
        file.unlink(missing_ok=True)


def write_failed_step(folder: Path, failed: FailedStep, rank: int) -> Path:
    """Write a failed step to ``non_finite.ckpt`` and return the path.

    Args:
        folder: the folder of the run.
        failed: the failed step.
        rank: the rank of this process; a rank other than 0 is added to the file name.

    Raises:
        OSError: if the file cannot be written.
    """
    path = folder / (FILE_NAME if rank == 0 else f"rank-{rank}-{FILE_NAME}")
    batch, progress = failed.batch, failed.progress
    state = {
        "plan": asdict(failed.method.plan),
        "method": failed.method.state_dict(),
        "views": batch.views,
        "index": batch.index,
        "labels": batch.labels,
        "num_global": batch.num_global,
        "rng": [batch.rng.seed, batch.rng.epoch, batch.rng.step],
        "names": failed.names,
        "progress": [progress.step, progress.total_steps, progress.epoch],
        "precision": failed.precision,
        "seed": failed.seed,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(path, buffer.getbuffer())
    return path


def read_failed_step(path: Path, make_method: Callable[[Plan], Method]) -> FailedStep:
    """Read a failed step from a file without running any code in it.

    Args:
        path: the path of the file.
        make_method: a function that takes the plan of the run and builds its SSL method.

    Raises:
        CheckpointError: if the file is damaged or does not contain a failed step.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        method = make_method(Plan(**state["plan"]))
        if state["precision"] == "64-true":
            method.double()
        method.load_state_dict(state["method"])
        if state["precision"] == "bf16-mixed":
            run_padding_only_convs_in_float32(method)
        step, total_steps, epoch = state["progress"]
        seed, epoch, rng_step = state["rng"]
        rng = BatchRNG(seed, epoch, state["index"], rng_step)
        batch = Batch(state["views"], state["index"], state["labels"], state["num_global"], rng)
        progress = Progress(step, total_steps, epoch)
        failed = FailedStep(
            method, batch, state["names"], progress, state["precision"], state["seed"]
        )
    except _READ_ERRORS as error:
        raise CheckpointError(f"{path} does not contain a failed step: {error}") from None
    method.train()
    return failed

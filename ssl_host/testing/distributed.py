"""Two real processes with gloo, for what must not depend on their number."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

# Its functions have the default group for a default. Imported once there is one, they would keep
# it and its threads until the interpreter ends, where torch aborts now and then (pytorch #190489).
import torch.distributed.nn.functional
from torch.multiprocessing.spawn import start_processes

from ssl_host.toolkit.distributed import world_size as processes


def run_distributed(work: Callable[..., Any], *arguments: Any, world_size: int = 2) -> list[Any]:
    """Run ``work(*arguments)`` in processes that know each other by torch.distributed.

    Args:
        work: a function of a module, so that the processes can import it.
        arguments: what it is called with; they are pickled.

    Returns:
        What each returned, in order of rank.
    """
    with tempfile.TemporaryDirectory() as folder:
        start_processes(
            _enter, (world_size, folder, work, arguments), nprocs=world_size, start_method="spawn"
        )
        # The files were written by the functions below, a moment ago.
        return [
            torch.load(Path(folder) / f"{rank}.pt", weights_only=False)
            for rank in range(world_size)
        ]


def _enter(
    rank: int, world_size: int, folder: str, work: Callable[..., Any], arguments: Any
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
    try:
        torch.save(work(*arguments), f"{folder}/{rank}.pt")
        dist.barrier()  # a process that is done early would hang up on one that still connects
    finally:
        dist.destroy_process_group()


def average_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """What data-parallel training does after every backward pass."""
    if processes() == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= processes()


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """‖found − expected‖ over max(1, ‖expected‖)."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / max(1.0, float(expected.norm())))

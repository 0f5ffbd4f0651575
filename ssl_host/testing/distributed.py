"""Run a function in several gloo processes, to compare the results with a single process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

# Import this before a process group exists: its functions would store an existing group as a
# default argument. The group would never be freed, and its threads could crash the interpreter at
# exit (pytorch #190489).
import torch.distributed.nn.functional
from torch.multiprocessing.spawn import start_processes

from ssl_host.testing.command_process import server_context
from ssl_host.toolkit.distributed import is_lost_process
from ssl_host.toolkit.distributed import world_size as num_processes

TIMEOUT = 300.0
"""Seconds after which the processes of a call are killed, because they may wait forever."""
GRACE = 1.0
"""Seconds that a process waits before it reports that another process has ended."""


def run_distributed(work: Callable[..., Any], *arguments: Any, world_size: int = 2) -> list[Any]:
    """Run ``work(*arguments)`` in several processes that form a torch.distributed group.

    Each call starts new processes, so no state is carried over to the next call. On Linux they are
    forked from a server that has already imported torch and the kit. Starting the server takes a
    few seconds, but happens only once.

    Args:
        work: function defined at the top level of a module, so that it can be pickled.
        arguments: arguments for ``work``; they are pickled.
        world_size: number of processes.

    Returns:
        The values that ``work`` returned, one per process, ordered by rank.

    Raises:
        ProcessRaisedException: when ``work`` raises; the message contains the traceback.
        TimeoutError: when a process does not finish within ``TIMEOUT`` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = start_processes(
            _run_process,
            (world_size, folder, dict(os.environ), work, arguments),
            nprocs=world_size,
            join=False,
            start_method=server_context().get_start_method(),
        )
        deadline = time.monotonic() + TIMEOUT
        while not context.join(timeout=1):
            if time.monotonic() > deadline:
                for process in context.processes:
                    process.kill()
                raise TimeoutError(f"{work.__name__} did not finish within {TIMEOUT:.0f} seconds")
        # Unsafe unpickling is fine: _run_process has just written these files.
        return [
            torch.load(Path(folder) / f"{rank}.pt", weights_only=False)
            for rank in range(world_size)
        ]


def _run_process(
    rank: int,
    world_size: int,
    folder: str,
    environment: Mapping[str, str],
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """Join the process group, run ``work`` and save its result; called in each process."""
    os.environ.clear()
    os.environ.update(environment)  # the server has the variables from when it was started
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=TIMEOUT),
    )
    try:
        torch.save(work(*arguments), f"{folder}/{rank}.pt")
        dist.barrier()  # closing the group early would break ranks that are still connecting
    except Exception as error:
        if is_lost_process(error):
            time.sleep(GRACE)  # let the process that failed first report its error
        raise
    finally:
        dist.destroy_process_group()


def average_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Average the gradients over all processes, as DistributedDataParallel does."""
    if num_processes() == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= num_processes()


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the relative error of a tensor: ‖actual − expected‖ / max(1, ‖expected‖)."""
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).norm() / max(1.0, float(expected.norm())))

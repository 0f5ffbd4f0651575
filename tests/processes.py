"""Two real processes with gloo, for tests of what must not depend on their number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def together(
    work: Callable[..., Any], folder: Path, *arguments: Any, world_size: int = 2
) -> list[Any]:
    """Run ``work(rank, world_size, *arguments)`` in processes that know each other.

    Returns:
        What each returned, in order of rank.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mp.spawn(_enter, (world_size, str(folder), work, arguments), nprocs=world_size)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world_size)]


def _enter(
    rank: int, world_size: int, folder: str, work: Callable[..., Any], arguments: Any
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
    try:
        torch.save(work(rank, world_size, *arguments), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Norm-wise 1e-9."""
    return bool((found - expected).norm() <= 1e-9 * max(1.0, float(expected.norm())))

"""Gathering over processes, right in the backward pass too. One process is the trivial case."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process's loss depends on these rows. Their sum is the gradient of the sum of
        # the losses; data-parallel averaging turns it into that of their mean. Without the sum
        # the gradient is wrong by 1/world_size (lightly #1977).
        # A copy: autograd may hand the same tensor to another gather, and this reduces in place.
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        start = rank() * ctx.rows
        return total[start : start + ctx.rows]


def gather(rows: Tensor) -> Tensor:
    """The rows B D of all processes, in order of rank, with gradient: (world_size · B) D.

    With each process's loss a mean over its own images, and gradients averaged over processes
    as in data-parallel training, the result equals one process on the whole batch.
    """
    if world_size() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def gather_offset(rows: Tensor) -> int:
    """Where this process's rows begin in :func:`gather`'s result."""
    return rank() * len(rows)


@torch.no_grad()
def shuffle_keys(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Exchange images between processes by a common permutation (MoCo, arXiv:1911.05722, 3.3).

    Args:
        images: B C H W, this process's.
        seed: the same number on every process; it picks the permutation.

    Returns:
        This process's share of the shuffled batch, and the indices that
        :func:`unshuffle_keys` needs.
    """
    everything = gather(images)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(everything), generator=generator).to(images.device)
    start = gather_offset(images)
    return everything[order[start : start + len(images)]], order


@torch.no_grad()
def unshuffle_keys(keys: Tensor, order: Tensor) -> Tensor:
    """Undo :func:`shuffle_keys`: keys B D of this process's own images, in their order."""
    everything = gather(keys)
    start = gather_offset(keys)
    return everything[torch.argsort(order)[start : start + len(keys)]]


def is_lost_process(error: BaseException) -> bool:
    """Whether an error, or what it came from, is another process's silence."""
    seen: BaseException | None = error
    while seen is not None:
        # gloo's are RuntimeErrors that name it; NCCL's have a class of their own.
        if isinstance(seen, dist.DistError) or "gloo/transport" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False

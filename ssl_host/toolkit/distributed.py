"""Communication between the processes of a run; every function also works in one process."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Return the number of processes in the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process in the run, counted from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def broadcast_object(value: Any) -> Any:
    """Return the value that the process of rank 0 passes; all processes must call this."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


class _Gather(torch.autograd.Function):
    """Autograd function that concatenates the rows of all processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        gathered = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(gathered, rows.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # The loss of every process depends on these rows. Summing the gradients gives the gradient
        # of the summed losses, and data-parallel averaging turns it into the gradient of their
        # mean. Without the sum the gradient is too small by 1/world_size (lightly #1977).
        # Clone, because all_reduce works in place and autograd may share this tensor.
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        start = rank() * ctx.rows
        return total[start : start + ctx.rows]


def gather(rows: Tensor) -> Tensor:
    """Return the rows (B, D) of all processes, in rank order, with gradients.

    The result has shape (world_size · B, D); every process must have the same number of rows B. If
    the loss of each process is the mean over its own images and gradients are averaged over
    processes, as in data-parallel training, the gradients are the same as if one process computed
    the whole batch.
    """
    if world_size() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


@torch.no_grad()
def gather_unequal(rows: Tensor) -> Tensor:
    """Return the rows of all processes, in rank order, without gradients.

    The processes may have different numbers of rows, or none.
    """
    if world_size() == 1:
        return rows
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(world_size())]
    dist.all_gather(counts, count)
    lengths = [int(count) for count in counts]
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows
    gathered = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(gathered, padded)
    return torch.cat([part[:length] for part, length in zip(gathered, lengths, strict=True)])


def gather_offset(rows: Tensor) -> int:
    """Return the index of this process's first row in the output of :func:`gather`."""
    return rank() * len(rows)


@torch.no_grad()
def shuffle_keys(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Shuffle the images of all processes and return this process's share.

    This is MoCo's shuffling BN (arXiv:1911.05722, section 3.3).

    Args:
        images: images of this process, shape (B, C, H, W).
        seed: seed of the permutation, the same in every process.

    Returns:
        This process's share of the shuffled images, shape (B, C, H, W), and the permutation, for
        :func:`unshuffle_keys`.
    """
    all_images = gather(images)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(all_images), generator=generator).to(images.device)
    start = gather_offset(images)
    return all_images[order[start : start + len(images)]], order


@torch.no_grad()
def unshuffle_keys(keys: Tensor, order: Tensor) -> Tensor:
    """Undo :func:`shuffle_keys`: return the keys (B, D) of the images of this process.

    Args:
        keys: keys of this process's share of the shuffled images, shape (B, D).
        order: the permutation that :func:`shuffle_keys` returned.
    """
    all_keys = gather(keys)
    start = gather_offset(keys)
    return all_keys[torch.argsort(order)[start : start + len(keys)]]


def is_lost_process(error: BaseException) -> bool:
    """Return True if an error was caused by a lost connection to another process of the run."""
    cause: BaseException | None = error
    while cause is not None:
        # NCCL raises DistError; gloo raises a RuntimeError with its source file in the message.
        if isinstance(cause, dist.DistError) or "gloo/transport" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False

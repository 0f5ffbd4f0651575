"""Order of the images in each epoch, and a loader of batches from an image store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_host.data.store import ImageStore
from ssl_host.errors import DataError


@dataclass
class RawBatch:
    """Batch of images before augmentation.

    Attributes:
        images: uint8 tensor (B, C, H, W), or a list with one such tensor for each view if the
            images were cropped when they were decoded.
        index: indices of the images in the training set, shape (B,).
        labels: labels of the images, shape (B,); None if there are no labels.
        epoch: epoch of the batch, counted from 0.
    """

    images: Tensor | list[Tensor]
    index: Tensor
    labels: Tensor | None
    epoch: int

    def to(self, device: torch.device | str, non_blocking: bool = False) -> RawBatch:
        """Return the batch on the given device; Lightning calls this."""
        return self._apply(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pinned(self) -> RawBatch:
        """Return a copy of the batch in page-locked memory."""
        return self._apply(Tensor.pin_memory)

    def _apply(self, move: Callable[[Tensor], Tensor]) -> RawBatch:
        """Return a new batch with a function applied to each tensor."""
        images = move(self.images) if isinstance(self.images, Tensor) else [*map(move, self.images)]
        labels = None if self.labels is None else move(self.labels)
        return RawBatch(images, move(self.index), labels, self.epoch)


@dataclass(frozen=True)
class EpochPlan:
    """Plan of the order in which each epoch uses the training images.

    The order depends only on the seed, the epoch and the number of images. Each step uses
    ``batch_size`` images, counted over all processes and micro-batches. Images left over at the end
    of an epoch are skipped.

    Attributes:
        num_images: number of training images N.
        batch_size: number of images in an optimizer step, over all processes.
        seed: seed of the order.
        micro_batches: number of micro-batches in a step; they are computed one after another.
        rank: rank of this process, counted from 0.
        world_size: number of processes in the run.

    Raises:
        DataError: if ``batch_size`` is more than ``num_images``, or cannot be divided equally among
            the processes and micro-batches.
    """

    num_images: int
    batch_size: int
    seed: int
    micro_batches: int = 1
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.batch_size > self.num_images:
            raise DataError(
                f"[run] batch_size = {self.batch_size} is more than the {self.num_images} "
                "training images; choose a smaller batch_size"
            )
        shares = self.micro_batches * self.world_size
        if self.batch_size % shares:
            raise DataError(
                f"[run] batch_size = {self.batch_size} cannot be divided among {self.world_size} "
                f"processes and {self.micro_batches} micro-batches; make it a multiple of {shares}"
            )

    @property
    def steps(self) -> int:
        """Number of optimizer steps in an epoch."""
        return self.num_images // self.batch_size

    def indices(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """Yield the image indices of this process's micro-batches, starting at step ``start``."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(self.num_images, generator=generator)
        share = self.batch_size // (self.micro_batches * self.world_size)
        for step in range(start, self.steps):
            batch = order[step * self.batch_size : (step + 1) * self.batch_size]
            for micro_batch in batch.chunk(self.micro_batches):
                yield micro_batch[self.rank * share : (self.rank + 1) * share]


class StoreLoader:
    """Loader of training batches from an image store; an iteration ends with the epoch.

    Attributes:
        epoch: epoch of the next iteration, counted from 0.
        start: step of the epoch at which the next iteration starts.
        reads_disk: True if making a batch may have to wait for the disk.
    """

    def __init__(self, store: ImageStore, plan: EpochPlan) -> None:
        self.store = store
        self.plan = plan
        self.epoch = 0
        self.start = 0
        self.reads_disk = store.on_disk

    def __iter__(self) -> Iterator[RawBatch]:
        epoch = self.epoch
        images, labels = self.store.images, self.store.labels
        for index in self.plan.indices(epoch, self.start):
            batch_labels = None if labels is None else labels[index]
            yield RawBatch(images[index], index, batch_labels, epoch)

    def close(self) -> None:
        """Do nothing: this loader has no worker processes to end."""

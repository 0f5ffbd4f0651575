"""Which images make up which step, and the loaders that bring them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_host.data.store import ImageStore
from ssl_host.errors import DataError


@dataclass
class RawBatch:
    """Images on their way to the views.

    Attributes:
        images: B C H W, uint8; or one such tensor a view, cropped while decoding.
        index: B, the images' numbers in the training set.
        labels: B, or None.
        epoch: from 0.
    """

    images: Tensor | list[Tensor]
    index: Tensor
    labels: Tensor | None
    epoch: int

    def to(self, device: torch.device | str, non_blocking: bool = False) -> RawBatch:
        """On another device; Lightning calls this."""

        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pinned(self) -> RawBatch:
        """In page-locked memory."""
        return self._each(Tensor.pin_memory)

    def _each(self, move: Callable[[Tensor], Tensor]) -> RawBatch:
        images = move(self.images) if isinstance(self.images, Tensor) else [*map(move, self.images)]
        labels = None if self.labels is None else move(self.labels)
        return RawBatch(images, move(self.index), labels, self.epoch)


@dataclass(frozen=True)
class EpochPlan:
    """The order of the images, a pure function of seed and epoch.

    Every step takes ``batch_size`` images over all processes and micro-batches. The images left
    over at the end of an epoch are not used in it; every epoch has a new order.

    Attributes:
        num_images: N of the training set.
        batch_size: images of an optimizer step.
        micro_batches: gradients accumulated before an optimizer step.
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
                "training images: no step could be made; choose a smaller batch_size"
            )
        shares = self.micro_batches * self.world_size
        if self.batch_size % shares:
            raise DataError(
                f"[run] batch_size = {self.batch_size} cannot be shared by {self.world_size} "
                f"processes and {self.micro_batches} micro-batches; make it a multiple of {shares}"
            )

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return self.num_images // self.batch_size

    def indices(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """This process's share of every micro-batch of an epoch, from step ``start``."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(self.num_images, generator=generator)
        share = self.batch_size // (self.micro_batches * self.world_size)
        for step in range(start, self.steps):
            batch = order[step * self.batch_size : (step + 1) * self.batch_size]
            for micro_batch in batch.chunk(self.micro_batches):
                yield micro_batch[self.rank * share : (self.rank + 1) * share]


class StoreLoader:
    """Batches from a store. Iterating gives an epoch, or the rest of one.

    Attributes:
        epoch: the epoch that the next iteration belongs to.
        start: the step it begins at.
        reads_disk: whether making a batch waits for the disk.
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
            chosen = None if labels is None else labels[index]
            yield RawBatch(images[index], index, chosen, epoch)

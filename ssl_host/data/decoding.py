"""Decode images on demand, for datasets that are too large for a packed store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ssl_host.augment.executor import ViewMaker
from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.data.store import no_readable_images_message
from ssl_host.errors import DataError
from ssl_host.toolkit.cores import available_cores
from ssl_host.toolkit.resizing import image_for_crops, resize_to_square


class DecodedImages:
    """Array of uint8 images (N, C, S, S) that are decoded by threads when they are indexed.

    Attributes:
        unreadable: maps the index of each image that could not be read to the reason. Such an
            image is returned as a black image.
    """

    def __init__(self, images: ImageDataset, channels: int, size: int) -> None:
        self.images = images
        self.channels = channels
        self.size = size
        self.unreadable: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        if isinstance(index, slice):
            indices = list(range(*index.indices(len(self))))
        else:
            indices = index.tolist()
        with ThreadPoolExecutor(max_workers=available_cores()) as pool:
            return torch.stack(list(pool.map(self._read, indices)))

    def _read(self, i: int) -> Tensor:
        """Return one decoded image, or a black one if it cannot be read."""
        try:
            return resize_to_square(self.images.read(i), self.size, self.images.fit)
        except UnreadableImage as error:
            self.unreadable[i] = str(error)
            return torch.zeros(self.channels, self.size, self.size, dtype=torch.uint8)


class BatchImages:
    """Array of uint8 images (N, C, S, S) from a dataset that decodes whole batches."""

    def __init__(self, images: ImageDataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        indices = torch.arange(len(self))[index] if isinstance(index, slice) else index
        return self.images.read_many(indices)


_Item = tuple[list[Tensor], int, list[tuple[int, str]]]
"""Crops, the index of their image, and (index, reason) for each unreadable image before it."""


class _CroppedViews(Dataset[_Item | Exception]):
    """Dataset that decodes and crops one image for each (epoch, index) in a worker process."""

    def __init__(self, images: ImageDataset, views: ViewMaker, size: int, seed: int) -> None:
        self.images = images
        self.views = views
        self.size = size
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> _Item | Exception:
        try:
            return self._read(*key)
        except (DataError, OSError) as error:
            return error  # if raised, DataLoader would add the worker's traceback to the message

    def _read(self, epoch: int, index: int) -> _Item:
        """Return the crops of image ``index``, or of the next image that is readable.

        Raises:
            DataError: if no image is readable.
        """
        failed: list[tuple[int, str]] = []
        for i in range(index, index + len(self.images)):
            current = i % len(self.images)
            try:
                image = self.images.read(current)
            except UnreadableImage as error:
                failed.append((current, str(error)))
                continue
            if self.views.form == "view_specs":
                sample = torch.tensor([current])
                whole = image_for_crops(image, self.images.fit)[None]
                return self.views.crops(whole, sample, epoch, self.seed), current, failed
            return [resize_to_square(image, self.size, self.images.fit)[None]], current, failed
        raise DataError(
            no_readable_images_message([(self.images.name(i), reason) for i, reason in failed])
        )


class _PlanSampler(Sampler[list[tuple[int, int]]]):
    """Sampler of the batches of one epoch of a plan, as lists of (epoch, index)."""

    def __init__(self, plan: EpochPlan) -> None:
        self.plan = plan
        self.epoch = 0
        self.start = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        for index in self.plan.indices(epoch, self.start):
            yield [(epoch, i) for i in index.tolist()]


class FilesLoader:
    """Loader of training batches; worker processes decode and crop the images.

    An unreadable image is replaced with the next readable one, so every process has a full batch at
    every step.

    Attributes:
        epoch: epoch of the next iteration, counted from 0.
        start: step of the epoch at which the next iteration starts.
        unreadable: maps the index of each image that could not be read to the reason.
    """

    reads_disk = False  # because the workers read ahead

    def __init__(
        self,
        images: ImageDataset,
        views: ViewMaker,
        plan: EpochPlan,
        size: int,
        workers: int,
        unreadable: dict[int, str],
    ) -> None:
        self.images = images
        self.views = views
        self.sampler = _PlanSampler(plan)
        self.epoch = 0
        self.start = 0
        self.unreadable = unreadable
        self.loader = DataLoader(
            _CroppedViews(images, views, size, plan.seed),
            batch_sampler=self.sampler,
            num_workers=workers,
            collate_fn=_collate,
            persistent_workers=workers > 0,
            prefetch_factor=2 if workers else None,
            worker_init_fn=_use_one_thread if workers else None,
        )

    def __iter__(self) -> Iterator[RawBatch]:
        epoch = self.epoch
        self.sampler.epoch, self.sampler.start = epoch, self.start
        for batch in self.loader:
            if isinstance(batch, Exception):
                raise batch
            crops, index, failed = batch
            self.unreadable.update(failed)
            labels = None if self.images.labels is None else self.images.labels[index]
            images = crops if self.views.form == "view_specs" else crops[0]
            yield RawBatch(images, index, labels, epoch)

    def close(self) -> None:
        """End the worker processes.

        Left to the garbage collector, torch waits five seconds for each of them. Lightning ends
        them in the same way, which has no public name.
        """
        workers = self.loader._iterator
        if workers is not None and self.loader.num_workers:
            workers._shutdown_workers()  # type: ignore[attr-defined]
            self.loader._iterator = None


def _collate(
    results: list[_Item | Exception],
) -> tuple[list[Tensor], Tensor, list[tuple[int, str]]] | Exception:
    """Return the crops, indices and unreadable images of a batch, or the first error in it."""
    items: list[_Item] = []
    for item in results:
        if isinstance(item, Exception):
            return item
        items.append(item)
    crops = [torch.cat(views) for views in zip(*(item[0] for item in items), strict=True)]
    index = torch.tensor([item[1] for item in items])
    return crops, index, [failure for item in items for failure in item[2]]


def _use_one_thread(_: int) -> None:
    """Limit torch to one thread in a worker process, because the workers share the cores."""
    torch.set_num_threads(1)

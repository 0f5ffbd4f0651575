"""Images decoded when they are needed, for data sets too large for a packed store."""

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
from ssl_host.toolkit.image_files import resize_and_crop


class DecodedImages:
    """Array N C S S, uint8, of images that threads decode when they are indexed.

    Attributes:
        unreadable: reasons by index of the images that could not be read; they are black.
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
        try:
            return resize_and_crop(self.images.read(i), self.size)
        except UnreadableImage as error:
            self.unreadable[i] = str(error)
            return torch.zeros(self.channels, self.size, self.size, dtype=torch.uint8)


class BatchImages:
    """Array N C S S, uint8, of a data set that decodes images in batches."""

    def __init__(self, images: ImageDataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        indices = torch.arange(len(self))[index] if isinstance(index, slice) else index
        return self.images.read_many(indices)


_Item = tuple[list[Tensor], int, list[tuple[int, str]]]
"""Crops, index of the image, and unreadable images before it with reasons."""


class _CroppedViews(Dataset[_Item | Exception]):
    """Data set of crops by (epoch, index), cut by the worker that decodes the image."""

    def __init__(self, images: ImageDataset, views: ViewMaker, size: int, seed: int) -> None:
        self.images = images
        self.views = views
        self.size = size
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> _Item | Exception:
        try:
            return self._read(*key)
        except (DataError, OSError) as error:
            return error  # DataLoader would add a worker's traceback to its message

    def _read(self, epoch: int, index: int) -> _Item:
        """Return the crops of the first readable image from ``index`` on."""
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
                return self.views.crops(image[None], sample, epoch, self.seed), current, failed
            return [resize_and_crop(image, self.size)[None]], current, failed
        raise DataError(
            no_readable_images_message([(self.images.name(i), reason) for i, reason in failed])
        )


class _PlanSampler(Sampler[list[tuple[int, int]]]):
    """Sampler of a plan's batches as (epoch, index), from a given epoch and step."""

    def __init__(self, plan: EpochPlan) -> None:
        self.plan = plan
        self.epoch = 0
        self.start = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        for index in self.plan.indices(epoch, self.start):
            yield [(epoch, i) for i in index.tolist()]


class FilesLoader:
    """Loader of batches that worker processes decode and crop.

    The next readable image replaces an unreadable one, so that every step has a full batch on
    every process.

    Attributes:
        epoch, start: as in :class:`~ssl_host.data.batches.StoreLoader`.
        unreadable: reasons by index of the images that could not be read.
    """

    reads_disk = False  # workers read in advance

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
            worker_init_fn=_one_thread if workers else None,
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


def _collate(
    results: list[_Item | Exception],
) -> tuple[list[Tensor], Tensor, list[tuple[int, str]]] | Exception:
    """Combine items to a batch, or return the first error."""
    items: list[_Item] = []
    for item in results:
        if isinstance(item, Exception):
            return item
        items.append(item)
    crops = [torch.cat(views) for views in zip(*(item[0] for item in items), strict=True)]
    index = torch.tensor([item[1] for item in items])
    return crops, index, [failure for item in items for failure in item[2]]


def _one_thread(_: int) -> None:
    """Use one thread in a worker: the workers share the cores."""
    torch.set_num_threads(1)

"""Images too many or too large for a store: decoded when they are needed."""

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
    """Looks like a store's array, N C S S uint8, and decodes what is indexed, in threads.

    Attributes:
        unreadable: what was wrong with which image; such an image comes out black, and whoever
            counts leaves it out.
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
            numbers = list(range(*index.indices(len(self))))
        else:
            numbers = index.tolist()
        with ThreadPoolExecutor(max_workers=available_cores()) as pool:
            return torch.stack(list(pool.map(self._read, numbers)))

    def _read(self, i: int) -> Tensor:
        try:
            return resize_and_crop(self.images.read(i), self.size)
        except UnreadableImage as error:
            self.unreadable[i] = str(error)
            return torch.zeros(self.channels, self.size, self.size, dtype=torch.uint8)


class BatchImages:
    """Looks like a store's array, N C S S uint8, of a set that decodes many at once."""

    def __init__(self, images: ImageDataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        numbers = torch.arange(len(self))[index] if isinstance(index, slice) else index
        return self.images.read_many(numbers)


_Item = tuple[list[Tensor], int, list[tuple[int, str]]]
"""Crops, the number of the image, and those before it that could not be read."""


class _CroppedViews(Dataset[_Item | Exception]):
    """An image's crops, cut in the worker that decodes it, by the numbers of (epoch, index)."""

    def __init__(self, images: ImageDataset, views: ViewMaker, size: int, seed: int) -> None:
        self.images = images
        self.views = views
        self.size = size
        self.seed = seed

    def __getitem__(self, place: tuple[int, int]) -> _Item | Exception:
        try:
            return self._read(*place)
        except (DataError, OSError) as error:
            return error  # raised in a worker, it would arrive with a traceback for a message

    def _read(self, epoch: int, index: int) -> _Item:
        failed: list[tuple[int, str]] = []
        for i in range(index, index + len(self.images)):
            number = i % len(self.images)
            try:
                image = self.images.read(number)
            except UnreadableImage as error:
                failed.append((number, str(error)))
                continue
            if self.views.form == "view_specs":
                at = torch.tensor([number])
                return self.views.crops(image[None], at, epoch, self.seed), number, failed
            return [resize_and_crop(image, self.size)[None]], number, failed
        raise DataError(
            no_readable_images_message([(self.images.name(i), why) for i, why in failed])
        )


class _Order(Sampler[list[tuple[int, int]]]):
    """The plan's batches as (epoch, index), from wherever the loader stands."""

    def __init__(self, plan: EpochPlan) -> None:
        self.plan = plan
        self.epoch = 0
        self.start = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        for index in self.plan.indices(epoch, self.start):
            yield [(epoch, i) for i in index.tolist()]


class FilesLoader:
    """Batches decoded and cropped by worker processes.

    An unreadable image's place is taken by the next readable one, so that every step has its
    full batch on every process; it is counted in :attr:`unreadable`.

    Attributes:
        epoch, start: as :class:`~ssl_host.data.batches.StoreLoader`'s.
    """

    reads_disk = False  # its workers are ahead already

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
        self.order = _Order(plan)
        self.epoch = 0
        self.start = 0
        self.unreadable = unreadable
        self.loader = DataLoader(
            _CroppedViews(images, views, size, plan.seed),
            batch_sampler=self.order,
            num_workers=workers,
            collate_fn=_collate,
            persistent_workers=workers > 0,
            prefetch_factor=2 if workers else None,
            worker_init_fn=_one_thread if workers else None,
        )

    def __iter__(self) -> Iterator[RawBatch]:
        epoch = self.epoch
        self.order.epoch, self.order.start = epoch, self.start
        for batch in self.loader:
            if isinstance(batch, Exception):
                raise batch
            crops, index, failed = batch
            self.unreadable.update(failed)
            labels = None if self.images.labels is None else self.images.labels[index]
            whole = crops if self.views.form == "view_specs" else crops[0]
            yield RawBatch(whole, index, labels, epoch)


def _collate(
    found: list[_Item | Exception],
) -> tuple[list[Tensor], Tensor, list[tuple[int, str]]] | Exception:
    items: list[_Item] = []
    for item in found:
        if isinstance(item, Exception):
            return item
        items.append(item)
    crops = [torch.cat(views) for views in zip(*(item[0] for item in items), strict=True)]
    index = torch.tensor([item[1] for item in items])
    return crops, index, [fault for item in items for fault in item[2]]


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)

"""Open the images of a data source for training and evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from platformdirs import user_cache_path

from ssl_host.augment.executor import ViewMaker
from ssl_host.config.schema import LoaderSettings
from ssl_host.contracts.data import DataSource, ImageDataset
from ssl_host.data.batches import EpochPlan, StoreLoader
from ssl_host.data.content_digest import content_digest
from ssl_host.data.decoding import BatchImages, DecodedImages, FilesLoader
from ssl_host.data.image_checks import check_images
from ssl_host.data.packed_cache import Skipped
from ssl_host.data.splits import Splits, num_probe_classes, open_splits
from ssl_host.data.store import (
    ImageStore,
    SelectedImages,
    pack,
    packed_bytes,
    underlying_array,
)
from ssl_host.errors import DataError
from ssl_host.toolkit.resizing import PHOTO_MARGIN

Storage = Literal["memory", "batches", "packed", "files"]
"""Where images are read from: memory, a dataset that decodes batches, a packed array, or files."""

Progress = Callable[[str, int, int], None]
"""Function that is called with the name of the split being packed, the number of images done and
the total number of images."""


@dataclass
class OpenedDatasets:
    """Splits of a dataset, opened for training and evaluation.

    Attributes:
        train: images for pretraining.
        probe: images on which evaluators train; for most datasets the same object as ``train``.
        test: held-out images; None if there are none.
        classes: class names; empty if there are no labels.
        make_loader: function that takes a plan and returns a loader of training batches.
        splits: the datasets of the source, before they were packed.
        notes: remarks about splits and decoding, for the log and the report.
        warnings: remarks about images that are probably not read as intended.
    """

    train: ImageStore
    probe: ImageStore
    test: ImageStore | None
    classes: tuple[str, ...]
    make_loader: Callable[[EpochPlan], Any]
    splits: Splits
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def num_probe_classes(self) -> int:
        """Number of classes of the online probe; 0 without labels or for a single class."""
        return num_probe_classes(self.train.labels, self.classes)

    def fingerprint(self) -> dict[str, Any]:
        """Return the number of images in each split, and hashes of their names and contents."""
        splits = {"train": self.train, "probe": self.probe, "held_out": self.test}
        digest = hashlib.sha256()
        for split, store in splits.items():
            for name in () if store is None else store.names():
                digest.update(f"{split}\0{name}\n".encode("utf-8", "backslashreplace"))
        counts = {split: 0 if store is None else len(store) for split, store in splits.items()}
        content = content_digest([self.splits.train, self.splits.probe, self.splits.test])
        return {**counts, "names": digest.hexdigest(), "content": content}

    def skipped(self) -> list[Skipped]:
        """Return (name, reason) for each image found unreadable so far."""
        stores = [self.train] + ([] if self.probe is self.train else [self.probe])
        stores += [] if self.test is None else [self.test]
        return [image for store in stores for image in store.unreadable()]


def open_datasets(
    source: DataSource,
    views: ViewMaker,
    settings: LoaderSettings,
    progress: Progress | None = None,
    splits: Splits | None = None,
) -> OpenedDatasets:
    """Open the splits of a source as image stores, either packed or decoded on demand.

    Args:
        source: the data source.
        views: view maker; workers that decode images use it to crop them.
        settings: the settings of ``[loader]``.
        progress: function that is called after each packed image.
        splits: the splits of the source; None to open them.

    Raises:
        DataError: if there are no training images, or none of the images in a split can be read.
    """
    splits = open_splits(source, settings.holdout) if splits is None else splits
    opener = StoreOpener(source, settings, progress)
    train = opener.open(splits.train, "training images")
    probe = train if splits.probe is splits.train else opener.open_probe(splits, train)
    test = None if splits.test is None else opener.open(splits.test, "held-out images")
    warnings, remarks = check_images(splits.train, source)
    notes = [*splits.notes, *remarks]
    classes = splits.classes
    if not isinstance(train.images, DecodedImages):
        make_loader: Callable[[EpochPlan], Any] = partial(StoreLoader, train)
    else:
        make_loader = _files_loader(splits, train, views, settings)
    if isinstance(train.images, DecodedImages) and settings.store == "auto":
        notes.append(
            f"{len(splits.train)} images are decoded in every epoch, because a packed store would "
            "exceed [loader] store_limit_mb"
        )
    return OpenedDatasets(train, probe, test, classes, make_loader, splits, notes, warnings)


def _files_loader(
    splits: Splits, train: ImageStore, views: ViewMaker, settings: LoaderSettings
) -> Callable[[EpochPlan], FilesLoader]:
    """Return a function that makes a loader for images that are decoded on demand."""
    decoded = train.images
    assert isinstance(decoded, DecodedImages)

    def make(plan: EpochPlan) -> FilesLoader:
        workers = int(settings.num_workers)
        return FilesLoader(splits.train, views, plan, decoded.size, workers, decoded.unreadable)

    return make


class StoreOpener:
    """Factory of image stores for the splits of a data source.

    Attributes:
        size: side of the stored images in pixels, if they are not already in memory.
        cache: folder for packed images.
    """

    def __init__(
        self, source: DataSource, settings: LoaderSettings, progress: Progress | None = None
    ) -> None:
        self.source = source
        self.settings = settings
        self.progress = progress
        self.size = settings.store_size or round(source.image_size * PHOTO_MARGIN)
        self.cache = Path(settings.cache_dir or user_cache_path("ssl-host"))

    def open(self, images: ImageDataset, description: str) -> ImageStore:
        """Return an image store for a split: in memory, packed to disk, or decoded on demand."""
        self._check_channels(images)
        storage, channels, size = self.storage(images), self.source.channels, self.size
        index = torch.arange(len(images))
        if storage == "batches":
            skipped = tuple((missing.name, missing.reason) for missing in images.missing)
            pixels = BatchImages(images)
            return ImageStore(pixels, images.labels, index, images, skipped, on_disk=True)
        if storage == "files":
            decoded = DecodedImages(images, channels, size)
            return ImageStore(decoded, images.labels, index, images)
        progress = None if self.progress is None else partial(self.progress, description)
        return pack(images, channels, size, self.cache, progress)

    def storage(self, images: ImageDataset) -> Storage:
        """Return where the images of a split are read from, given their size and ``[loader]``."""
        if images.image_size is not None:
            return "batches"
        if underlying_array(images) is not None:
            return "memory"
        limit = self.settings.store_limit_mb * 2**20
        is_small = packed_bytes(images, self.source.channels, self.size) <= limit
        packs = self.settings.store == "packed" or (self.settings.store == "auto" and is_small)
        return "packed" if packs else "files"

    def open_probe(self, splits: Splits, train: ImageStore) -> ImageStore:
        """Return the store of the probe images, without copying rows of the training store.

        Args:
            splits: the splits of the source.
            train: the store of the training images.
        """
        probe = splits.probe
        if (
            not splits.probe_is_part_of_train
            or isinstance(train.images, DecodedImages)
            or train.labels is None
        ):
            return self.open(probe, "probe images")
        rows = (train.labels >= 0).nonzero().squeeze(1)
        images = SelectedImages(train.images, rows)
        labels, indices = train.labels[rows], train.indices[rows]
        return ImageStore(images, labels, indices, train.dataset, on_disk=train.on_disk)

    def _check_channels(self, images: ImageDataset) -> None:
        """Raise DataError unless the images have as many channels as the source declares."""
        array = underlying_array(images)
        if array is not None and array.shape[1] != self.source.channels:
            raise DataError(
                f"[data] {type(self.source).__name__} declares {self.source.channels} channels, "
                f"but its images have {array.shape[1]}"
            )

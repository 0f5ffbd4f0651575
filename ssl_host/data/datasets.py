"""From a configuration's source to images ready for training and evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path

from ssl_host.augment.executor import ViewMaker
from ssl_host.config.schema import LoaderSettings
from ssl_host.contracts.data import DataSource, ImageDataset
from ssl_host.data.batches import EpochPlan, StoreLoader
from ssl_host.data.decoding import BatchImages, DecodedImages, FilesLoader
from ssl_host.data.packed_cache import Skipped
from ssl_host.data.splits import Splits, open_splits
from ssl_host.data.store import ImageStore, array_of, pack, packed_bytes
from ssl_host.errors import DataError

PHOTO_MARGIN = 8 / 7
"""Packed photographs keep a margin around the view, as 256 for 224 pixels."""

Progress = Callable[[str, int, int], None]
"""Told what is being packed, images done and in all."""


@dataclass
class OpenedDatasets:
    """The three splits, opened.

    Attributes:
        train: what pretraining sees.
        probe: what evaluators learn from; the same object as ``train`` in most sets.
        test: held out, or None.
        classes: names, empty without labels.
        notes: what was cut, skipped or decided, for log and report.
    """

    train: ImageStore
    probe: ImageStore
    test: ImageStore | None
    classes: tuple[str, ...]
    make_loader: Callable[[EpochPlan], Any]
    notes: list[str] = field(default_factory=list)

    def fingerprint(self) -> dict[str, Any]:
        """What tells these images from others: how many of each part, and what they are called."""
        parts = {"train": self.train, "probe": self.probe, "held_out": self.test}
        digest = hashlib.sha256()
        for part, store in parts.items():
            for name in () if store is None else store.names():
                digest.update(f"{part}\0{name}\n".encode("utf-8", "backslashreplace"))
        counts = {part: 0 if store is None else len(store) for part, store in parts.items()}
        return {**counts, "names": digest.hexdigest()}

    def skipped(self) -> list[Skipped]:
        """Every image that could not be read, with the reason."""
        stores = [self.train] + ([] if self.probe is self.train else [self.probe])
        stores += [] if self.test is None else [self.test]
        return [fault for store in stores for fault in store.faults()]


def open_datasets(
    source: DataSource, views: ViewMaker, settings: LoaderSettings, progress: Progress | None = None
) -> OpenedDatasets:
    """Open a source's splits as stores, packed or decoded on demand.

    Raises:
        DataError: when there is nothing to train on.
    """
    splits = open_splits(source, settings.holdout)
    opener = _Opener(source, settings, progress)
    train = opener.open(splits.train, "training images")
    probe = train if splits.probe is splits.train else opener.open(splits.probe, "probe's images")
    test = None if splits.test is None else opener.open(splits.test, "held-out images")
    notes = list(splits.notes)
    if not isinstance(train.images, DecodedImages):
        return OpenedDatasets(
            train, probe, test, splits.classes, partial(StoreLoader, train), notes
        )
    if settings.store == "auto":
        notes.append(
            f"{len(splits.train)} images are decoded in every epoch: a packed store of them would "
            "exceed [loader] store_limit_mb"
        )
    make_loader = _files_loader(splits, train, views, settings)
    return OpenedDatasets(train, probe, test, splits.classes, make_loader, notes)


def _files_loader(
    splits: Splits, train: ImageStore, views: ViewMaker, settings: LoaderSettings
) -> Callable[[EpochPlan], FilesLoader]:
    decoded = train.images
    assert isinstance(decoded, DecodedImages)

    def make(plan: EpochPlan) -> FilesLoader:
        workers = int(settings.num_workers)
        return FilesLoader(splits.train, views, plan, decoded.size, workers, decoded.unreadable)

    return make


class _Opener:
    def __init__(
        self, source: DataSource, settings: LoaderSettings, progress: Progress | None
    ) -> None:
        self.source = source
        self.settings = settings
        self.progress = progress
        self.cache = settings.cache_dir or user_cache_path("ssl-host")

    def open(self, images: ImageDataset, what: str) -> ImageStore:
        self._check_first(images)
        if images.image_size is not None:
            every = torch.arange(len(images))
            whole = BatchImages(images)
            skipped = tuple((missing.name, missing.reason) for missing in images.missing)
            return ImageStore(whole, images.labels, every, skipped, images.name, on_disk=True)
        channels, settings = self.source.channels, self.settings
        size = settings.store_size or round(self.source.image_size * PHOTO_MARGIN)
        in_memory = array_of(images) is not None
        small = packed_bytes(images, channels, size) <= settings.store_limit_mb * 2**20
        if in_memory or settings.store == "packed" or (settings.store == "auto" and small):
            tell = self.progress
            report = None if tell is None else (lambda done, total: tell(what, done, total))
            return pack(images, channels, size, Path(self.cache), report)
        decoded = DecodedImages(images, channels, size)
        return ImageStore(decoded, images.labels, torch.arange(len(images)), (), images.name)

    def _check_first(self, images: ImageDataset) -> None:
        """A source whose images have another number of channels is told at once."""
        found = array_of(images)
        if found is not None and found.shape[1] != self.source.channels:
            raise DataError(
                f"[data] {type(self.source).__name__} says {self.source.channels} channels, and "
                f"its images have {found.shape[1]}"
            )

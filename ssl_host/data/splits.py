"""Opens the training, probe and held-out images of a data source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.data import DataSource, ImageDataset, MissingImage
from ssl_host.errors import DataError

HOLDOUT_SEED = 20_240_601
"""Seed of the held-out split, the same in every run so that all runs share their test images."""


class Subset(ImageDataset):
    """Dataset of the images at the given indices of another dataset."""

    def __init__(
        self, dataset: ImageDataset, indices: Tensor, missing: Sequence[MissingImage] = ()
    ) -> None:
        self.missing = missing
        self.dataset = dataset
        self.indices = indices
        self.labels = None if dataset.labels is None else dataset.labels[indices]
        self.classes = dataset.classes
        self.image_size = dataset.image_size
        self.slow_hint = dataset.slow_hint

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, i: int) -> Tensor:
        return self.dataset.read(int(self.indices[i]))

    def read_many(self, indices: Tensor) -> Tensor:
        return self.dataset.read_many(self.indices[indices])

    def name(self, i: int) -> str:
        return self.dataset.name(int(self.indices[i]))

    def path(self, i: int) -> Path | None:
        return self.dataset.path(int(self.indices[i]))


@dataclass(frozen=True)
class Splits:
    """Record of the splits of a dataset: training, probe and held-out images.

    Attributes:
        train: images for pretraining.
        probe: images on which evaluators train; for most datasets the same object as ``train``.
        test: held-out images; None if the source has none and none can be held out.
        notes: remarks about the held-out split, for the log and the report.
    """

    train: ImageDataset
    probe: ImageDataset
    test: ImageDataset | None
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; empty if there are no labels."""
        return self.probe.classes if self.probe.labels is not None else ()


def open_splits(source: DataSource, holdout: float) -> Splits:
    """Return the splits of a source; if it has no test split, hold out labelled images.

    Args:
        source: the data source.
        holdout: fraction of each class to hold out.

    Raises:
        DataError: if there are no training images.
        PluginError: if the source raises an unexpected error.
    """
    with attribute_errors(source, "while opening its images"):
        return _open(source, holdout)


def _open(source: DataSource, holdout: float) -> Splits:
    """Open the splits of a source as :func:`open_splits` does, without converting its errors."""
    train = source.open("train")
    if train is None or len(train) == 0:
        raise DataError(f"[data] {type(source).__name__} has no training images")
    test = source.open("test")
    probe = train
    if train.labels is None:
        labelled = source.open("probe")
        if labelled is not None and labelled.labels is not None:
            probe = labelled
    if test is not None or probe.labels is None:
        return Splits(train, probe, test)
    kept, held_out = (_subset(probe, rows) for rows in _split_by_class(_labels(probe), holdout))
    if len(held_out) == 0:
        note = "too few images to hold any out: evaluators that need a test split are skipped"
        return Splits(train, probe, None, (note,))
    note = (
        f"the dataset has no test split: {len(held_out)} of {len(probe)} images were held out, "
        "by class, and neither pretraining nor evaluators train on them"
    )
    return Splits(kept if probe is train else train, kept, held_out, (note,))


def _labels(images: ImageDataset) -> Tensor:
    """Return the labels of all images in the original dataset, including missing images."""
    assert images.labels is not None
    if not images.missing:
        return images.labels
    labels: list[int] = images.labels.tolist()
    for missing in sorted(images.missing):
        labels.insert(missing.index, -1 if missing.label is None else missing.label)
    return torch.tensor(labels)


def _subset(images: ImageDataset, indices: Tensor) -> Subset:
    """Return the images at the given indices, without those that were left out when packing."""
    if not images.missing:
        return Subset(images, indices)
    gone = torch.tensor(sorted(missing.index for missing in images.missing))
    present = indices[~torch.isin(indices, gone)]
    requested = set(indices.tolist())
    missing = [image for image in images.missing if image.index in requested]
    # Missing images have no row, so subtract the number of missing images before each index.
    return Subset(images, present - torch.searchsorted(gone, present), missing)


def _split_by_class(labels: Tensor, holdout: float) -> tuple[Tensor, Tensor]:
    """Return (kept indices, held-out indices); each class keeps at least one image."""
    generator = torch.Generator().manual_seed(HOLDOUT_SEED)
    order = torch.randperm(len(labels), generator=generator)
    held_out_of_classes = []
    for label in labels.unique():
        members = order[labels[order] == label]
        held_out_of_classes.append(members[: min(round(holdout * len(members)), len(members) - 1)])
    held_out = torch.cat(held_out_of_classes).sort().values
    is_kept = torch.ones(len(labels), dtype=torch.bool)
    is_kept[held_out] = False
    return is_kept.nonzero().squeeze(1), held_out

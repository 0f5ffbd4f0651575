"""Open the training, probe and held-out images of a data source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.data import DataSource, ImageDataset, ImageHeader, MissingImage
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
        self.rows: list[int] = indices.tolist()
        self.classes = dataset.classes
        self.image_size = dataset.image_size
        self.fit = dataset.fit
        self.value_range = dataset.value_range
        self.slow_hint = dataset.slow_hint

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, i: int) -> Tensor:
        return self.dataset.read(self.rows[i])

    def read_many(self, indices: Tensor) -> Tensor:
        return self.dataset.read_many(self.indices[indices])

    def header(self, i: int) -> ImageHeader:
        return self.dataset.header(self.rows[i])

    def name(self, i: int) -> str:
        return self.dataset.name(self.rows[i])

    def path(self, i: int) -> str | Path | None:
        return self.dataset.path(self.rows[i])


@dataclass(frozen=True)
class Splits:
    """Splits of a dataset: training, probe and held-out images.

    Attributes:
        train: images for pretraining.
        probe: images on which evaluators train; for most datasets the same object as ``train``.
        test: held-out images; None if the source has none and none can be held out.
        has_own_test: True if the source has held-out images itself.
        notes: remarks about the held-out split, for the log and the report.
    """

    train: ImageDataset
    probe: ImageDataset
    test: ImageDataset | None
    has_own_test: bool
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; empty if there are no labels."""
        return self.probe.classes if self.probe.labels is not None else ()

    @property
    def probe_is_part_of_train(self) -> bool:
        """True if the probe images are some of the training images, such as the labelled ones."""
        return isinstance(self.probe, Subset) and self.probe.dataset is self.train


def num_probe_classes(labels: Tensor | None, classes: Sequence[str]) -> int:
    """Return the number of classes of the online probe; 0 without labels or for a single class."""
    return 0 if labels is None or len(classes) < 2 else len(classes)


def open_splits(
    source: DataSource, holdout: float, progress: Callable[[int], None] | None = None
) -> Splits:
    """Return the splits of a source; if it has no test split, hold out labelled images.

    Args:
        source: the data source.
        holdout: fraction of each class to hold out.
        progress: function that sources call with the number of images listed so far.

    Raises:
        DataError: if there are no training images.
        PluginError: if the source raises an unexpected error.
    """
    source.progress = progress
    with attribute_errors(source, "while opening its images"):
        return _open(source, holdout)


def _open(source: DataSource, holdout: float) -> Splits:
    """Open the splits of a source as :func:`open_splits` does, without converting its errors."""
    train = source.open("train")
    if train is None or len(train) == 0:
        raise DataError(f"[data] {type(source).__name__} has no training images")
    test = source.open("test")
    probe, has_own_test = train, test is not None
    if train.labels is None:
        labelled = source.open("probe")
        if labelled is not None and labelled.labels is not None:
            probe = labelled
    notes = [*source.notes, *_unlabelled_notes(probe, test)]
    if probe.labels is None:
        return Splits(train, probe, test, has_own_test, tuple(notes))
    if test is None and len(probe.classes) > 1:
        kept, test, note = _hold_out(probe, holdout)
        notes.append(note)
        train = kept if probe is train else train
        probe = kept
    elif len(probe.classes) == 1:
        notes.append(
            f"there is only one class, {probe.classes[0]}, so no accuracy is measured"
            + (", and no images are held out" if test is None else "")
        )
    test = test and _labelled_only(test)
    return Splits(train, _labelled_only(probe), test, has_own_test, tuple(notes))


def _hold_out(images: ImageDataset, holdout: float) -> tuple[ImageDataset, Subset | None, str]:
    """Return the images to train on, the held-out images and a note about them.

    If there are too few images to hold any out, the held-out images are None.

    Args:
        images: the labelled images.
        holdout: fraction of each class to hold out.
    """
    labels = _all_labels(images)
    kept, held_out = (_subset(images, rows) for rows in split_by_class(labels, holdout))
    if len(held_out) == 0:
        note = "too few images to hold any out: evaluators that need a test split are skipped"
        return images, None, note
    labelled = int((labels >= 0).sum())
    of_all = f"{labelled} labelled images" if labelled < len(labels) else f"{len(labels)} images"
    note = (
        f"the dataset has no labelled test split: {len(held_out)} of {of_all} were held out, by "
        "class, and neither pretraining nor evaluators train on them"
    )
    return kept, held_out, note


def _unlabelled_notes(probe: ImageDataset, test: ImageDataset | None) -> Iterator[str]:
    """Yield a note for each split in which only some of the images have labels."""
    uses = {
        "training": "pretraining uses all images, probes and evaluators only the labelled ones",
        "held-out": "they are not used",
    }
    for (split, use), images in zip(uses.items(), (probe, test), strict=True):
        if images is not None and images.labels is not None:
            count = int((images.labels < 0).sum())
            if count:
                yield f"{count} of {len(images)} {split} images have no label: {use}"


def _labelled_only(images: ImageDataset) -> ImageDataset:
    """Return the images that have a label; the same object if all of them have one."""
    if images.labels is None or bool((images.labels >= 0).all()):
        return images
    return Subset(images, (images.labels >= 0).nonzero().squeeze(1), images.missing)


def _all_labels(images: ImageDataset) -> Tensor:
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


def split_by_class(labels: Tensor, holdout: float) -> tuple[Tensor, Tensor]:
    """Return (kept indices, held-out indices); each class keeps at least one image.

    Images without a label are kept.
    """
    generator = torch.Generator().manual_seed(HOLDOUT_SEED)
    order = torch.randperm(len(labels), generator=generator)
    by_class = order[labels[order].argsort(stable=True)]  # the images of a class in random order
    counts = labels.unique(return_counts=True)
    members_of_classes = by_class.split(counts[1].tolist())
    parts = [torch.empty(0, dtype=torch.int64)]
    for label, members in zip(counts[0].tolist(), members_of_classes, strict=True):
        if label >= 0:
            parts.append(members[: min(round(holdout * len(members)), len(members) - 1)])
    held_out = torch.cat(parts).sort().values
    is_kept = torch.ones(len(labels), dtype=torch.bool)
    is_kept[held_out] = False
    return is_kept.nonzero().squeeze(1), held_out

"""Describe a data set: number, sizes, channels, brightness, labels, groups and duplicates."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ssl_host import DataSource, ImageDataset, Splits, open_splits
from ssl_plugin_init.image_statistics import ImageStatistics, read_statistics
from ssl_plugin_init.name_groups import name_groups

MAX_IMAGES = 20_000
"""Default for the largest number of images that are read."""
MAX_EXAMPLES = 20
"""Largest number of unreadable images, groups or duplicates that are listed."""
DARK, BRIGHT, FLAT = 16, 240, 4
"""Brightness below and above which an image is dark or bright, and contrast of a flat image."""


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest value of a quantity, and the values that 5 % lie beyond."""

    smallest: float
    low: float
    median: float
    high: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one or more values."""
        ordered = sorted(values)
        last = len(ordered) - 1
        low, high = ordered[round(0.05 * last)], ordered[round(0.95 * last)]
        return cls(ordered[0], low, statistics.median(ordered), high, ordered[-1])


@dataclass(frozen=True)
class DataDescription:
    """Properties of a data set that matter for pretraining.

    Attributes:
        source: name of the data source that reads it.
        settings: the settings of the source.
        num_images: number of images, without those that are held out.
        num_test: number of held-out images; None if there are none.
        has_own_test: True if the data set has its own held-out images.
        num_read: number of images that were read for the rest of the description.
        unreadable: pairs (name, reason) of images that cannot be read.
        num_unreadable: number of images that cannot be read, among those that were read.
        heights: spread of the heights in pixels; None if no image can be read.
        widths: spread of the widths.
        short_sides: spread of the shorter sides.
        ratios: spread of the longer side divided by the shorter one.
        sizes: the most frequent sizes as (width, height, number of images).
        gray_fraction: fraction of the images whose channels are equal.
        bits: number of images by bits per channel; empty if the images are not files of their own.
        brightness: spread of the mean pixel value, from 0 to 255.
        contrast: spread of the standard deviation of the pixels.
        num_flat: number of images with one colour only, or nearly.
        num_transparent: number of image files with transparent pixels.
        classes: number of training and held-out images by class; empty without labels.
        num_unlabelled: number of training images without a label.
        groups: groups of similar names and their sizes, the largest ones.
        num_groups: number of groups of similar names; 0 if names do not form groups.
        duplicates: names of identical images, one list per set of copies.
        num_copies: number of images that are a copy of another one.
        num_leaked: number of held-out images that are also among the training images.
        notes: remarks of the source and of the host about the images.
    """

    source: str
    settings: dict[str, Any]
    num_images: int
    num_test: int | None
    has_own_test: bool
    num_read: int
    unreadable: list[tuple[str, str]]
    num_unreadable: int
    heights: Spread | None
    widths: Spread | None
    short_sides: Spread | None
    ratios: Spread | None
    sizes: list[tuple[int, int, int]]
    gray_fraction: float
    bits: dict[int, int]
    brightness: Spread | None
    contrast: Spread | None
    num_flat: int
    num_transparent: int
    classes: dict[str, int]
    num_unlabelled: int
    groups: dict[str, int]
    num_groups: int
    duplicates: list[list[str]]
    num_copies: int
    num_leaked: int
    notes: list[str]

    @property
    def is_gray(self) -> bool:
        """True if all images that were read are gray."""
        return self.gray_fraction == 1

    @property
    def has_classes(self) -> bool:
        """True if there are at least two classes, so that accuracies can be measured."""
        return len(self.classes) > 1

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as a dictionary of JSON types."""
        return asdict(self)


def describe_source(
    source: DataSource,
    name: str,
    holdout: float = 0.2,
    limit: int = MAX_IMAGES,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[DataDescription, list[tuple[ImageDataset, ImageStatistics]]]:
    """Read the images of a data source and describe them.

    Args:
        source: the data source.
        name: name of the source.
        holdout: fraction of the images that a run would hold out, as in ``[loader] holdout``.
        limit: largest number of images to read; of more images an evenly spaced sample is read.
        progress: function that is called with the number of images read since the last call.

    Returns:
        The description, and each image that was read with the data set that contains it.

    Raises:
        DataError: if the source cannot be opened or has no images.
    """
    splits = open_splits(source, holdout)
    own_test = source.open("test") is not None
    parts = [splits.train] if splits.test is None else [splits.train, splits.test]
    total = sum(map(len, parts))
    read: list[tuple[ImageDataset, ImageStatistics]] = []
    for images in parts:
        share = max(1, limit * len(images) // total)
        read += [(images, found) for found in read_statistics(images, share, progress)]
    return _describe(source, name, splits, own_test, read), read


def _describe(
    source: DataSource,
    name: str,
    splits: Splits,
    own_test: bool,
    read: list[tuple[ImageDataset, ImageStatistics]],
) -> DataDescription:
    """Return the description that follows from the splits and the statistics of the images."""
    good = [found for _, found in read if found.error is None]
    broken = [(images.name(s.index), s.error) for images, s in read if s.error is not None]
    copies = _copies(read, splits)
    groups = name_groups(splits.train.name(i) for i in range(len(splits.train)))
    shapes = Counter((found.width, found.height) for found in good)
    sides = [(min(s.width, s.height), max(s.width, s.height)) for s in good]
    labels = splits.train.labels
    return DataDescription(
        source=name,
        settings=source.config.model_dump(exclude_unset=True),
        num_images=len(splits.train),
        num_test=None if splits.test is None else len(splits.test),
        has_own_test=own_test,
        num_read=len(read),
        unreadable=broken[:MAX_EXAMPLES],
        num_unreadable=len(broken),
        heights=_spread(s.height for s in good),
        widths=_spread(s.width for s in good),
        short_sides=_spread(short for short, _ in sides),
        ratios=_spread(long / short for short, long in sides),
        sizes=[(*shape, count) for shape, count in shapes.most_common(MAX_EXAMPLES)],
        gray_fraction=sum(s.is_gray for s in good) / max(1, len(good)),
        bits=dict(Counter(s.bits for s in good if s.bits is not None)),
        brightness=_spread(s.brightness for s in good),
        contrast=_spread(s.contrast for s in good),
        num_flat=sum(s.contrast < FLAT for s in good),
        num_transparent=sum(s.is_transparent for s in good),
        classes=_class_counts(splits),
        num_unlabelled=0 if labels is None else int((labels < 0).sum()),
        groups=dict(list(groups.items())[:MAX_EXAMPLES]),
        num_groups=len(groups),
        duplicates=[[name for name, _ in group] for group in copies[:MAX_EXAMPLES]],
        num_copies=sum(len(group) - 1 for group in copies),
        num_leaked=sum(_num_leaked(group) for group in copies),
        notes=list(dict.fromkeys([*source.notes, *splits.notes])),
    )


def _spread(values: Iterable[float]) -> Spread | None:
    """Return the spread of some values, or None if there are none."""
    found = list(values)
    return Spread.of(found) if found else None


def _copies(
    read: list[tuple[ImageDataset, ImageStatistics]], splits: Splits
) -> list[list[tuple[str, bool]]]:
    """Return sets of identical images as (name, True if held out), largest sets first."""
    by_digest: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
    for images, found in read:
        if found.error is None:
            by_digest[found.digest].append((images.name(found.index), images is splits.test))
    return sorted((group for group in by_digest.values() if len(group) > 1), key=len, reverse=True)


def _num_leaked(group: list[tuple[str, bool]]) -> int:
    """Return the number of held-out images in a set of copies, if a training image is among it."""
    held_out = sum(is_held_out for _, is_held_out in group)
    return held_out if held_out < len(group) else 0


def _class_counts(splits: Splits) -> dict[str, int]:
    """Return the number of training and held-out images by class, largest first."""
    counts: Counter[str] = Counter(dict.fromkeys(splits.classes, 0))
    for images in (splits.probe, splits.test):
        if images is not None and images.labels is not None:
            counts.update(splits.classes[k] for k in images.labels.tolist() if k >= 0)
    return dict(counts.most_common())

"""Check a sample of images for properties that usually need a setting."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ssl_host.contracts.data import DataSource, ImageDataset, UnreadableImage
from ssl_host.data.store import array_of
from ssl_host.toolkit.sampling import evenly_spaced_indices

NUM_IMAGES = 32
"""Largest number of images to check."""
FEW_LEVELS = 64
"""Images with at most this many of 256 gray levels cause a warning: 14 bits in a 16-bit file."""
MIN_SHARE = 0.2
"""Smallest share of the checked images for which a property is reported."""
MAX_SIDE_RATIO = 1.6
"""Ratio of the sides above which images are far from square; it is 1.78 for 16:9."""


def check_images(images: ImageDataset, source: DataSource) -> tuple[list[str], list[str]]:
    """Return warnings and notes about the gray levels and the proportions of some images.

    Datasets that decode whole batches are not checked, because they were checked when they were
    packed.
    """
    sample = _read_sample(images)
    if not sample:
        return [], []
    settings = type(source.config).model_fields
    warnings = list(_level_warnings(sample, images.value_range, "value_range" in settings))
    notes = list(_proportion_notes(sample)) if images.fit == "crop" else []
    advice = "; [data] fit = squash or pad keeps the whole image" if "fit" in settings else ""
    return warnings, [f"{note}{advice}" for note in notes]


def _level_warnings(
    sample: list[Tensor], value_range: tuple[float, float] | None, has_setting: bool
) -> Iterator[str]:
    """Yield a warning if many images use only few gray levels, or only black and white."""
    bands = [band for image in sample if (band := _narrow_band(image)) is not None]
    common = _largest_group(bands)
    advice = ""
    if value_range is not None:
        advice = f"; check [data] value_range = {value_range[0]:g}, {value_range[1]:g}"
    elif has_setting and any(0 < high < FEW_LEVELS for _, high in common):
        # Only dark images can contain the small values of a larger type.
        advice = (
            "; if they use only part of the range of their file type, such as 12 of 16 bits, "
            "set [data] value_range, for example 0, 4095"
        )
    if len(common) >= MIN_SHARE * len(sample):
        low, high = min(low for low, _ in common), max(high for _, high in common)
        share = "the" if len(common) == len(sample) else f"{len(common)} of {len(sample)}"
        levels = f"use only gray levels {low} to {high} of 0 to 255"
        if low == high:
            levels = "are all black" if high == 0 else "have only one gray level"
        yield f"{share} images {levels}{advice}"
    elif value_range is not None and _clipped_share(sample) > 0.95:
        yield f"nearly all pixels are black or white{advice}"


def _narrow_band(image: Tensor) -> tuple[int, int] | None:
    """Return the lowest and highest gray level of an image; None if they are far apart.

    Pure black and white pixels are ignored, because images with few bits often have such an
    overlay. The lowest and highest hundredths of the other pixels are ignored too. An image with
    only black and white pixels has no band.
    """
    counts = torch.bincount(image.flatten().long(), minlength=256)
    black, white, total = int(counts[0]), int(counts[255]), int(counts.sum())
    counts[0] = counts[255] = 0
    if int(counts.sum()) <= 0.02 * total:
        return (0, 0) if white == 0 else (255, 255) if black == 0 else None
    fraction = counts.cumsum(0) / counts.sum()
    low, high = int((fraction > 0.01).nonzero()[0]), int((fraction >= 0.99).nonzero()[0])
    if black > 0.001 * total and high < FEW_LEVELS:
        low = 0
    return (low, high) if high - low < FEW_LEVELS else None


def _largest_group(bands: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the largest group of bands that together span at most ``FEW_LEVELS`` levels."""
    groups = (
        [b for b in bands if start <= b[0] and b[1] < start + FEW_LEVELS] for start, _ in bands
    )
    return max(groups, key=len, default=[])


def _clipped_share(sample: list[Tensor]) -> float:
    """Return the share of pixels that are black or white."""
    clipped = sum(int(((image == 0) | (image == 255)).sum()) for image in sample)
    return clipped / sum(image.numel() for image in sample)


def _proportion_notes(sample: list[Tensor]) -> Iterator[str]:
    """Yield a note if many images are far from square."""
    ratios = [max(image.shape[1:]) / min(image.shape[1:]) for image in sample]
    far = sorted(ratio for ratio in ratios if ratio > MAX_SIDE_RATIO)
    if len(far) >= MIN_SHARE * len(sample):
        yield (
            f"{len(far)} of {len(sample)} checked images are at least {far[0]:.1f} "
            f"times as long as wide (up to {far[-1]:.1f}): evaluators, and training on packed "
            "images, see only their centred square"
        )


def _read_sample(images: ImageDataset) -> list[Tensor]:
    """Return some evenly spaced images (C, H, W), without those that cannot be read."""
    if images.image_size is not None:
        return []
    array = array_of(images)
    sample = []
    for i in evenly_spaced_indices(len(images), NUM_IMAGES).tolist():
        try:
            sample.append(images.read(i) if array is None else array[i])
        except UnreadableImage:
            continue
    return sample

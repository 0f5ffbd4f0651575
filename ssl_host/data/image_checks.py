"""Looks at some images of a dataset for properties that usually need a setting."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ssl_host.contracts.data import DataSource, ImageDataset, UnreadableImage
from ssl_host.data.store import array_of
from ssl_host.toolkit.sampling import evenly_spaced_indices

NUM_IMAGES = 16
"""Largest number of images that are looked at."""
FEW_LEVELS = 64
"""Number of gray levels of 256 up to which a warning is given: 14 bits in a 16-bit file."""
LONG = 1.6
"""Ratio of the sides above which images are far from square; that of 16:9 is 1.78."""


def check_images(images: ImageDataset, source: DataSource) -> tuple[list[str], list[str]]:
    """Return warnings and notes about the gray levels and the proportions of some images.

    Datasets that decode whole batches are not checked, because they were checked when they were
    packed.
    """
    sample = _read_sample(images)
    if not sample:
        return [], []
    settings = type(source.config).model_fields
    warnings, notes = [], []
    low, high = _levels(sample)
    if high - low + 1 <= FEW_LEVELS:
        advice = (
            "; if they are stored with a smaller range than their file type has, such as 12 of 16 "
            "bits, set [data] value_range, for example 0, 4095"
        )
        warnings.append(
            f"the images use only gray levels {low} to {high} of 0 to 255, measured on "
            f"{len(sample)} images{advice if 'value_range' in settings else ''}"
        )
    ratio = float(np.median([max(image.shape[1:]) / min(image.shape[1:]) for image in sample]))
    if ratio > LONG and images.fit == "crop":
        advice = "; [data] fit = squash or pad keeps the whole image" if "fit" in settings else ""
        notes.append(
            f"half of the images are at least {ratio:.1f} times as long as wide: evaluators, and "
            f"training on packed images, see only their centred square{advice}"
        )
    return warnings, notes


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


def _levels(sample: list[Tensor]) -> tuple[int, int]:
    """Return the lowest and the highest gray level, without the extreme thousandth of pixels."""
    counts = sum(torch.bincount(image.flatten().long(), minlength=256) for image in sample)
    assert isinstance(counts, Tensor)
    fraction = counts.cumsum(0) / counts.sum()
    low = int((fraction > 0.001).nonzero()[0])
    return low, int((fraction >= 0.999).nonzero()[0])

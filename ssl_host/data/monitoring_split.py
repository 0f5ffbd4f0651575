"""Split the training images into two parts, to evaluate a network during training."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_host.data.splits import split_by_class
from ssl_host.data.store import ImageStore, SelectedImages
from ssl_host.errors import DataError
from ssl_host.toolkit.sampling import evenly_spaced_indices


def split_training_images(
    images: ImageStore, holdout: float, max_images: int
) -> tuple[ImageStore, ImageStore]:
    """Return the images that evaluators train on, and the held-out ones that they measure.

    The parts depend only on the images and the arguments, so that all epochs, runs and seeds have
    the same ones.

    Args:
        images: training images.
        holdout: fraction of each class to hold out; of all images without labels.
        max_images: number of images in both parts together; of more, evenly spaced ones are used.

    Raises:
        DataError: if there are too few images to hold any out.
    """
    rows = evenly_spaced_indices(len(images), max_images)
    labels = None if images.labels is None else images.labels[rows]
    one_class = torch.zeros(len(rows), dtype=torch.int64)
    kept, held_out = split_by_class(one_class if labels is None else labels, holdout)
    if not len(held_out):
        raise DataError(
            f"[evaluate] holdout = {holdout}: {len(rows)} of {len(images)} training images "
            "(max_images) are too few to hold any out; choose larger values, or remove every_epochs"
        )
    return _select(images, rows[kept]), _select(images, rows[held_out])


def _select(images: ImageStore, rows: Tensor) -> ImageStore:
    """Return a store of some rows of another one, without a copy of the images."""
    labels = None if images.labels is None else images.labels[rows]
    selected = SelectedImages(images.images, rows)
    indices = images.indices[rows]
    return ImageStore(selected, labels, indices, images.dataset, on_disk=images.on_disk)

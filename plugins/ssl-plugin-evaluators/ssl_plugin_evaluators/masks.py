"""Read segmentation masks and fit them to the stored images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_host import FileImages, ImageDataset, UserError, resize_to_square

MODES = ("1", "L", "P")
"""Modes of Pillow whose pixels are class indices: one bit, one byte, a palette."""
MASKS_AT_ONCE = 64
"""Number of masks whose pixels are counted at a time."""
NUM_EXAMPLES = 3
"""Number of files that an error message names."""


def find_masks(images: ImageDataset, rows: Sequence[int], folder: Path) -> list[Path]:
    """Return the mask file of each selected image: its name in ``folder``, with suffix ``.png``.

    The name is relative to the folder of the images; of an image in a shard it is the key.

    Args:
        images: the images.
        rows: indices of the selected images.
        folder: folder of the masks.

    Raises:
        UserError: if the images have no file names, or an image has no mask.
    """
    if rows and images.path(rows[0]) is None:
        raise UserError(
            "[evaluator.segmentation] the images of this data source have no file names, by which "
            "masks are found; use a source that reads files, such as imagefolder or csv"
        )
    files = [_mask_file(images, i, folder) for i in rows]
    missing = [i for i, file in zip(rows, files, strict=True) if not file.is_file()]
    if missing:
        names = ", ".join(images.name(i) for i in missing[:NUM_EXAMPLES])
        more = ", …" if len(missing) > NUM_EXAMPLES else ""
        raise UserError(
            f"[evaluator.segmentation] {len(missing)} of {len(rows)} images have no mask in "
            f"{folder}: {names}{more} (expected {_mask_file(images, missing[0], folder)})"
        )
    return files


def read_masks(
    images: ImageDataset, rows: Sequence[int], folder: Path, size: int, ignore_index: int
) -> Tensor:
    """Return the masks of selected images, made square as the stored images are.

    Args:
        images: the images as the data source opened them.
        rows: indices of the selected images.
        folder: folder of the masks.
        size: side S of the stored images, in pixels.
        ignore_index: class index of pixels without a class, such as the bars of ``fit = pad``.

    Returns:
        Class indices, shape (N, S, S), uint8.

    Raises:
        UserError: if a mask is missing or unreadable, has colours instead of class indices, or
            does not have the size of its image.
    """
    masks = torch.empty(len(rows), size, size, dtype=torch.uint8)
    for n, (i, file) in enumerate(zip(rows, find_masks(images, rows, folder), strict=True)):
        mask = _read_mask(file)
        height, width = images.read(i).shape[1:]
        if mask.shape != (height, width):
            raise UserError(
                f"{file}: the mask has {mask.shape[1]} × {mask.shape[0]} pixels, but its image "
                f"{images.name(i)} has {width} × {height}"
            )
        masks[n] = resize_to_square(
            mask[None], size, images.fit, interpolation="nearest", fill=ignore_index
        )[0]
    return masks


def count_classes(masks: Sequence[Tensor], num_classes: int | None, ignore_index: int) -> int:
    """Return the number of classes in masks.

    Args:
        masks: class indices of training images and of held-out images, (N, S, S) each.
        num_classes: number of classes; None for the largest class index plus one.
        ignore_index: class index of pixels without a class.

    Raises:
        UserError: if a class index is too large, or some masks have no pixels with a class.
    """
    largest = 0
    for mask in masks:
        counts = torch.zeros(256, dtype=torch.int64)
        for part in mask.split(MASKS_AT_ONCE):  # bincount makes a copy of 8 bytes per pixel
            counts += part.flatten().bincount(minlength=len(counts))
        counts[ignore_index] = 0
        found = counts.nonzero()
        if not len(found):
            raise UserError(
                f"[evaluator.segmentation] all pixels of the masks are {ignore_index}, which is "
                "ignore_index"
            )
        largest = max(largest, int(found.max()))
    if num_classes is not None and largest >= num_classes:
        raise UserError(
            f"[evaluator.segmentation] a mask has the class {largest}, but num_classes = "
            f"{num_classes} allows 0 to {num_classes - 1} and ignore_index = {ignore_index}"
        )
    return num_classes or max(2, largest + 1)


def _mask_file(images: ImageDataset, i: int, folder: Path) -> Path:
    """Return the path of the mask of an image; the file may not exist."""
    # Sources with several images in a file name them FILE:KEY.
    file = PurePath(images.path(i) or "").name
    name = PurePath(images.name(i).rpartition(f"{file}:")[2])
    if name.is_absolute():
        name = PurePath(name.name)
    stem = name.with_suffix("") if name.suffix.lower() in FileImages.suffixes else name
    return folder / f"{stem}.png"


def _read_mask(file: Path) -> Tensor:
    """Return the class indices (H, W), uint8, in a PNG file of one channel or a palette."""
    try:
        with Image.open(file) as image:
            if image.mode not in MODES:
                raise UserError(
                    f"{file}: a mask has one channel of 8-bit class indices, but this image has "
                    f"the mode {image.mode}"
                )
            return torch.from_numpy(np.array(image, dtype=np.uint8))
    except OSError as error:
        raise UserError(f"{file}: the mask cannot be read: {error}") from None

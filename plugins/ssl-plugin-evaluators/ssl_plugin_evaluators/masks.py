"""Read segmentation masks and fit them to the stored images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path, PurePath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_host import (
    FileImages,
    ImageDataset,
    UnreadableImage,
    UserError,
    evenly_spaced_indices,
    resize_to_square,
)

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
        UserError: if the images have no file names, an image has no mask, or two images have the
            same one.
    """
    if rows and images.path(rows[0]) is None:
        raise UserError(
            "the images of this data source have no file names, by which masks are found; use a "
            "source that reads files, such as imagefolder or csv"
        )
    files = [_mask_file(images, i, folder) for i in rows]
    missing = [i for i, file in zip(rows, files, strict=True) if not file.is_file()]
    if missing:
        names = ", ".join(images.name(i) for i in missing[:NUM_EXAMPLES])
        more = ", …" if len(missing) > NUM_EXAMPLES else ""
        raise UserError(
            f"{len(missing)} of {len(rows)} images have no mask in {folder}: {names}{more} "
            f"({_expected(_mask_file(images, missing[0], folder))})"
        )
    first: dict[Path, int] = {}
    for i, file in zip(rows, files, strict=True):
        other = first.setdefault(file, i)
        if _identity(images, other) != _identity(images, i):
            raise UserError(
                f"the images {images.name(other)} and {images.name(i)} have the same mask {file}; "
                "give them different names without suffix, in folders below the root of the images"
            )
    return files


def check_masks(
    train: ImageDataset,
    test: ImageDataset | None,
    train_folder: Path,
    test_folder: Path,
    max_images: int,
    ignore_index: int,
) -> None:
    """Check that all images have a mask of their own, and the format and classes of the masks.

    Args:
        train: the training images.
        test: the held-out images; None if there are none.
        train_folder: folder of the masks of training images.
        test_folder: folder of the masks of held-out images.
        max_images: largest number of images of a split whose masks are opened.
        ignore_index: class index of pixels without a class.

    Raises:
        UserError: if a mask is missing, shared or invalid, or if the masks of the training images
            have fewer than two classes.
    """
    found: dict[Path, tuple[str, str]] = {}
    for images, folder in ((train, train_folder), (test, test_folder)):
        if images is None:
            continue
        files = find_masks(images, range(len(images)), folder)
        for i, file in enumerate(files):
            if images is test and found.get(file, _identity(images, i)) != _identity(images, i):
                raise UserError(
                    f"the training image {found[file][1]} and the held-out image {images.name(i)} "
                    f"have the same mask {file}; set test_masks to a separate folder"
                )
            found[file] = _identity(images, i)
        used = {}
        for i in evenly_spaced_indices(len(images), max_images).tolist():
            # The host leaves unreadable images out.
            with suppress(UnreadableImage), _open_mask(images, i, files[i]):
                used[i] = files[i]
        if images is train and used:
            _require_two_classes(images, used, ignore_index)


def _require_two_classes(
    images: ImageDataset, files: Mapping[int, Path], ignore_index: int
) -> None:
    """Raise UserError if the masks, keyed by image and read until two are found, have one class."""
    values: set[int] = set()
    for i, file in files.items():
        values |= set(read_mask(images, i, file).unique().tolist())
        if len(values - {ignore_index}) > 1:
            return
    found = " and ".join(map(str, sorted(values)))
    if ignore_index in values:
        found += f", of which {ignore_index} is ignore_index, so pixels with it do not count"
    raise UserError(
        f"segmentation needs masks with at least two classes, such as 0 for the background and 1 "
        f"for the object, but the {len(files)} masks of training images that were read have only "
        f"the value{'s' if len(values) > 1 else ''} {found}; write the masks with other values"
    )


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
        UserError: if a mask is missing or invalid, as in :func:`read_mask`, or an image is
            unreadable.
    """
    masks = torch.empty(len(rows), size, size, dtype=torch.uint8)
    for n, (i, file) in enumerate(zip(rows, find_masks(images, rows, folder), strict=True)):
        try:
            mask = read_mask(images, i, file)
        except UnreadableImage as error:
            raise UserError(f"the image {images.name(i)} {error}, so its mask is unknown") from None
        masks[n] = resize_to_square(
            mask[None], size, images.fit, interpolation="nearest", fill=ignore_index
        )[0]
    return masks


def read_mask(images: ImageDataset, i: int, file: Path) -> Tensor:
    """Return the mask of one image, (H, W), uint8.

    Args:
        images: the images.
        i: index of the image.
        file: file of its mask.

    Raises:
        UserError: if the mask is unreadable, has colours instead of class indices, or does not have
            the size of its image; or if the image is rotated by its EXIF data.
        UnreadableImage: if the image cannot be read.
    """
    with _open_mask(images, i, file) as mask:
        return torch.from_numpy(np.array(mask, dtype=np.uint8))


@contextmanager
def _open_mask(images: ImageDataset, i: int, file: Path) -> Iterator[Image.Image]:
    """Check the headers of an image and its mask, and yield the mask; errors are read_mask's."""
    header = images.header(i)
    if header.orientation != 1:
        raise UserError(
            f"the image {images.name(i)} is rotated or mirrored when it is read, by the "
            f"orientation {header.orientation} in its EXIF data, but its mask {file} has no "
            "orientation; store the image upright, and the mask in the same way"
        )
    try:
        with Image.open(file) as mask:
            if mask.mode not in MODES:
                raise UserError(
                    f"{file}: a mask has one channel of 8-bit class indices, but this image has "
                    f"the mode {mask.mode}"
                )
            if mask.size != (header.width, header.height):
                raise UserError(
                    f"{file}: the mask has {mask.width} × {mask.height} pixels, but its image "
                    f"{images.name(i)} has {header.width} × {header.height}"
                )
            yield mask
    except OSError as error:
        raise UserError(f"{file}: the mask cannot be read: {error}") from None


def count_classes(
    masks: Sequence[Tensor], num_classes: int | None, ignore_index: int
) -> tuple[int, list[int]]:
    """Return the number of classes in masks, and the class indices that occur.

    Args:
        masks: class indices of training images and of held-out images, (N, S, S) each.
        num_classes: number of classes; None for the largest class index plus one.
        ignore_index: class index of pixels without a class.

    Raises:
        UserError: if a class index is too large, or some masks have no pixels with a class.
    """
    present: set[int] = set()
    for mask in masks:
        counts = torch.zeros(256, dtype=torch.int64)
        for part in mask.split(MASKS_AT_ONCE):  # bincount makes a copy of 8 bytes per pixel
            counts += part.flatten().bincount(minlength=len(counts))
        counts[ignore_index] = 0
        found = counts.nonzero().flatten().tolist()
        if not found:
            raise UserError(f"all pixels of the masks are {ignore_index}, which is ignore_index")
        present |= set(found)
    largest = max(present)
    if num_classes is not None and largest >= num_classes:
        raise UserError(
            f"a mask has the class {largest}, but num_classes = {num_classes} allows 0 to "
            f"{num_classes - 1} and ignore_index = {ignore_index}"
        )
    return num_classes or max(2, largest + 1), sorted(present)


def _identity(images: ImageDataset, i: int) -> tuple[str, str]:
    """Return the path and name of an image, which identify it."""
    return str(images.path(i)), images.name(i)


def _mask_file(images: ImageDataset, i: int, folder: Path) -> Path:
    """Return the path of the mask of an image; the file may not exist."""
    # Sources with several images in a file name them FILE:KEY.
    file = PurePath(images.path(i) or "").name
    name = PurePath(images.name(i).rpartition(f"{file}:")[2])
    if name.is_absolute():
        name = PurePath(name.name)
    stem = name.with_suffix("") if name.suffix.lower() in FileImages.suffixes else name
    return folder / f"{stem}.png"


def _expected(file: Path) -> str:
    """Return the file that is missing, and one of another format if there is one."""
    others = [f for f in file.parent.glob(f"{escape(file.stem)}.*") if f.stem == file.stem]
    if not others:
        return f"expected {file}"
    return f"expected {file}; there is {others[0].name}, but masks are .png files"

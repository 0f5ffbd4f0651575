"""Read images from one dataset of an HDF5 file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_host import DataError, EncodedImages, ImageDataset, UnreadableImage, scale_values

Axes = Literal["H W", "H W C", "C H W", "encoded"]

_CHANNELS = (1, 3, 4)

READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""Exceptions that h5py raises for a damaged file."""


class DatasetPath(NamedTuple):
    """Path of a dataset in an HDF5 file.

    Attributes:
        file: path of the file.
        dataset: name of the dataset within the file, such as ``train/images``.
        mtime_ns: modification time of the file in nanoseconds, so that a replaced file is opened
            again.
    """

    file: Path
    dataset: str
    mtime_ns: int

    def __str__(self) -> str:
        return f"{self.file}:{self.dataset}"


def open_images(
    path: DatasetPath, channels: int, label: str, value_range: tuple[float, float] | None = None
) -> ImageDataset:
    """Return the images of an HDF5 dataset; each image is read when it is needed.

    Args:
        path: path of the HDF5 dataset.
        channels: number of channels of the returned images, 3 or 1.
        label: name of the HDF5 dataset to use in error messages.
        value_range: values that become 0 and 255; None requires uint8.

    Raises:
        DataError: when the dataset does not contain images.
    """
    with report_damage(path.file):
        dataset = open_dataset(path)
        count, axes = len(dataset), _detect_axes(path, dataset, value_range is not None)
    if axes == "encoded":
        return EncodedRows(path, count, channels, label)
    return ArrayRows(path, count, axes, channels, label)


@contextmanager
def report_damage(file: Path) -> Iterator[None]:
    """Convert h5py exceptions in this context to a DataError that names the file.

    Raises:
        DataError: when the file is damaged or is not an HDF5 file.
    """
    try:
        yield
    except READ_ERRORS as error:
        raise DataError(
            f"[data] {file}: is damaged or is not an HDF5 file ({_first_line(error)}); copy or "
            "write it again"
        ) from None


def open_dataset(path: DatasetPath) -> Any:
    """Return the h5py dataset at a path; each process opens the file once."""
    return _open_file(path.file, path.mtime_ns, os.getpid())[path.dataset]


class _Rows(ImageDataset):
    """Base class for HDF5 datasets that store one image per row."""

    def __init__(self, dataset: DatasetPath, count: int, channels: int, label: str) -> None:
        self.dataset = dataset
        self.count = count
        self.channels = channels
        self.label = label

    def __len__(self) -> int:
        return self.count

    def path(self, i: int) -> Path:
        return self.dataset.file

    def name(self, i: int) -> str:
        return f"{self.label}[{i}]"


class EncodedRows(_Rows, EncodedImages):
    """Images stored as the bytes of image files, such as JPEG, one per row."""

    def encoded(self, i: int) -> bytes:
        row = _read_row(self.dataset, i)
        return bytes(row.tobytes() if isinstance(row, np.ndarray | np.void) else row)


class ArrayRows(_Rows):
    """Images stored as arrays of uint8, or of any numbers if ``value_range`` is set."""

    def __init__(
        self, dataset: DatasetPath, count: int, axes: Axes, channels: int, label: str
    ) -> None:
        super().__init__(dataset, count, channels, label)
        self.axes = axes

    def read(self, i: int) -> Tensor:
        row = np.asarray(_read_row(self.dataset, i))
        if self.value_range is not None:
            row = scale_values(row, self.value_range)
        pixels = row.transpose(1, 2, 0) if self.axes == "C H W" else row
        pixels = pixels[..., None] if self.axes == "H W" else pixels
        if pixels.shape[2] != self.channels:
            is_gray = pixels.shape[2] == 1
            image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if is_gray else pixels))
            converted = np.array(image.convert("L" if self.channels == 1 else "RGB"))
            pixels = converted.reshape(*pixels.shape[:2], self.channels)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _detect_axes(path: DatasetPath, dataset: Any, any_number: bool) -> Axes:
    """Return the axes of an image, or ``encoded``, given the dtype and shape of a dataset.

    Args:
        path: path of the HDF5 dataset.
        dataset: the HDF5 dataset.
        any_number: True to accept numbers of any type as pixels.

    Raises:
        DataError: when the dataset cannot contain images.
    """
    shape, dtype = dataset.shape, dataset.dtype
    element_dtype = h5py.check_vlen_dtype(dtype)
    is_opaque = dtype.kind == "V" and dtype.names is None
    if len(shape) == 1 and (element_dtype in (np.uint8, np.int8) or is_opaque):
        return "encoded"
    is_pixel = dtype == np.uint8 or (any_number and dtype.kind in "iuf")
    if is_pixel and len(shape) == 3:
        return "H W"
    if is_pixel and len(shape) == 4 and shape[3] in _CHANNELS:
        return "H W C"
    if is_pixel and len(shape) == 4 and shape[1] in _CHANNELS:
        return "C H W"
    if h5py.check_string_dtype(dtype) is not None:
        raise DataError(
            f"[data] {path}: contains text, which ends at the first zero byte; store encoded "
            "images as variable-length uint8 (h5py.vlen_dtype('uint8'))"
        )
    raise DataError(
        f"[data] {path}: images cannot be read from {dtype} of shape {shape}; use uint8 of shape "
        "(N, H, W), (N, H, W, C) or (N, C, H, W), where C is 1, 3 or 4, or N encoded images (such "
        "as JPEG) as variable-length uint8; for pixels of another type, set [data] value_range, "
        "for example `0, 4095`"
    )


def _read_row(path: DatasetPath, i: int) -> Any:
    """Return one row of a dataset.

    Raises:
        UnreadableImage: when the file is damaged.
    """
    try:
        return open_dataset(path)[i]
    except READ_ERRORS as error:
        raise UnreadableImage(f"the file is damaged: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@lru_cache(maxsize=16)
def _open_file(file: Path, _mtime_ns: int, _process: int) -> Any:
    """Return the open file; each process opens it once, as HDF5 handles must not be shared."""
    return h5py.File(file, "r")

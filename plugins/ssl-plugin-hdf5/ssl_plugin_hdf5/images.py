"""The images of one dataset of an HDF5 file."""

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

from ssl_host import DataError, EncodedImages, ImageDataset, UnreadableImage

Axes = Literal["H W", "H W C", "C H W", "encoded"]

_CHANNELS = (1, 3, 4)

DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What h5py raises over a file that is damaged."""


class Place(NamedTuple):
    """A dataset of a file.

    Attributes:
        file: its path.
        dataset: name within the file, such as ``train/images``.
        written: when, in nanoseconds: a file that was open before is not taken for what it is now.
    """

    file: Path
    dataset: str
    written: int

    def __str__(self) -> str:
        return f"{self.file}:{self.dataset}"


def open_datasets(place: Place, channels: int, called: str) -> ImageDataset:
    """The images of a dataset, read one by one when they are needed.

    Args:
        channels: 3 or 1, of what is given back.
        called: how messages call the dataset.

    Raises:
        DataError: when it holds something else.
    """
    with damage_told(place.file):
        found = dataset_of(place)
        count, axes = len(found), _axes(place, found)
    if axes == "encoded":
        return EncodedRows(place, count, channels, called)
    return ArrayRows(place, count, axes, channels, called)


@contextmanager
def damage_told(file: Path) -> Iterator[None]:
    """Any of h5py's errors as one of ours, with the file's name.

    Raises:
        DataError: for a file that is damaged, or is no HDF5 file.
    """
    try:
        yield
    except DAMAGE as error:
        raise DataError(
            f"[data] {file}: is damaged or no HDF5 file ({_first_line(error)}); copy or write it "
            "again"
        ) from None


def dataset_of(place: Place) -> Any:
    """The dataset, in this process's own handle of its file."""
    return _opened(place.file, place.written, os.getpid())[place.dataset]


class _Rows(ImageDataset):
    """A row an image, called by the dataset and the row."""

    def __init__(self, place: Place, count: int, channels: int, called: str) -> None:
        self.place = place
        self.count = count
        self.channels = channels
        self.called = called

    def __len__(self) -> int:
        return self.count

    def path(self, i: int) -> Path:
        return self.place.file

    def name(self, i: int) -> str:
        return f"{self.called}[{i}]"


class EncodedRows(_Rows, EncodedImages):
    """Images as the bytes of image files, a row each."""

    def encoded(self, i: int) -> bytes:
        row = _row(self.place, i)
        return bytes(row.tobytes() if isinstance(row, np.ndarray | np.void) else row)


class ArrayRows(_Rows):
    """Images as arrays, uint8, a row each."""

    def __init__(self, place: Place, count: int, axes: Axes, channels: int, called: str) -> None:
        super().__init__(place, count, channels, called)
        self.axes = axes

    def read(self, i: int) -> Tensor:
        row = np.asarray(_row(self.place, i))
        pixels = row.transpose(1, 2, 0) if self.axes == "C H W" else row
        pixels = pixels[..., None] if self.axes == "H W" else pixels
        if pixels.shape[2] != self.channels:
            gray = pixels.shape[2] == 1
            picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if gray else pixels))
            converted = np.array(picture.convert("L" if self.channels == 1 else "RGB"))
            pixels = converted.reshape(*pixels.shape[:2], self.channels)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _axes(place: Place, found: Any) -> Axes:
    """What the axes after the first are, by the type and the number of channels."""
    shape, kind = found.shape, found.dtype
    inner = h5py.check_vlen_dtype(kind)
    opaque = kind.kind == "V" and kind.names is None
    if len(shape) == 1 and (inner in (np.uint8, np.int8) or opaque):
        return "encoded"
    if kind == np.uint8 and len(shape) == 3:
        return "H W"
    if kind == np.uint8 and len(shape) == 4 and shape[3] in _CHANNELS:
        return "H W C"
    if kind == np.uint8 and len(shape) == 4 and shape[1] in _CHANNELS:
        return "C H W"
    if h5py.check_string_dtype(kind) is not None:
        raise DataError(
            f"[data] {place}: holds text, which ends at the first zero byte; encoded images are "
            "variable-length uint8: h5py.vlen_dtype('uint8')"
        )
    raise DataError(
        f"[data] {place}: is {kind} of shape {shape}; images are uint8 N H W C or N C H W with 1, "
        "3 or 4 channels, N H W, or N rows of variable-length uint8"
    )


def _row(place: Place, i: int) -> Any:
    try:
        return dataset_of(place)[i]
    except DAMAGE as error:
        raise UnreadableImage(f"the file is damaged: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@lru_cache(maxsize=16)
def _opened(file: Path, _written: int, _process: int) -> Any:
    """An HDF5 handle belongs to the process that opened it; threads share it, one at a time."""
    return h5py.File(file, "r")

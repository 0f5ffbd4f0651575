"""Dataset of the images in one packed file; threads decode them when they are read."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_host import DataError, ImageDataset, UnreadableImage
from ssl_plugin_ffcv.library import library
from ssl_plugin_ffcv.sidecar import SplitInfo

FIELDS = ["image", "label"]
"""Fields of a record in a packed file, in this order."""

_CHUNK_SIZE = 8
"""Number of images per decoding task; with one image per task, decoding takes 5 % longer."""


class PackedImages(ImageDataset):
    """Dataset of the images of a packed split; the file is memory-mapped.

    Args:
        file: path of the ``.beton`` file.
        split: description of the split from the sidecar file.
        channels: number of channels of the returned images, 1 or 3.
        image_size: height and width of all images in pixels.
        threads: number of threads that decode images.

    Raises:
        DataError: when the file is damaged or does not match the sidecar file.
    """

    image_size: int
    slow_hint = (
        "increase [data] num_threads and decrease [trainer] num_threads, or pack smaller images "
        "with `ssl-host data pack --size`"
    )

    def __init__(
        self, file: Path, split: SplitInfo, channels: int, image_size: int, threads: int
    ) -> None:
        self.file = file
        self.names = split.names
        self.missing = split.skipped
        self.channels = channels
        self.image_size = image_size
        self.threads = threads
        self._library = library()
        labels, self._records = self._read_index()
        if split.labelled:
            self.labels = torch.from_numpy(labels)
            self.classes = split.classes
            if labels.min() < -1 or labels.max() >= len(split.classes):
                raise DataError(self._damage_message("a label does not belong to any class"))
        self._bytes = np.memmap(file, np.uint8, mode="r").view(np.ndarray)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        return self.names[i]

    def read(self, i: int) -> Tensor:
        out = np.empty((1, self.channels, self.image_size, self.image_size), np.uint8)
        try:
            self._decode([i], out)
        except DataError as error:
            raise UnreadableImage(str(error)) from None
        return torch.from_numpy(out[0])

    def read_many(self, indices: Tensor) -> Tensor:
        positions = indices.tolist()
        out = np.empty((len(positions), self.channels, self.image_size, self.image_size), np.uint8)
        starts = range(0, len(positions), _CHUNK_SIZE)

        def work(start: int) -> None:
            chunk = slice(start, start + _CHUNK_SIZE)
            self._decode(positions[chunk], out[chunk])

        for _ in _thread_pool(os.getpid(), self.threads).map(work, starts):
            pass
        return torch.from_numpy(out)

    def _decode(self, positions: list[int], out: np.ndarray) -> None:
        """Decode the images at the given positions into ``out``, a uint8 array (B, C, S, S).

        Raises:
            DataError: when an image cannot be decoded.
        """
        image_size = self.image_size
        decoded = np.empty((image_size, image_size, 3), np.uint8)
        for row, i in enumerate(positions):
            record = self._records[i]
            data = self._bytes[record["start"] : record["start"] + record["size"]]
            pixels = data.reshape(image_size, image_size, 3) if record["raw"] else decoded
            if not record["raw"] and self._library.imdecode(
                data, decoded, image_size, image_size, image_size, image_size
            ):
                raise DataError(
                    f"[data] {self.file}: image {i} ({self.names[i]}) cannot be decoded, because "
                    "the file is damaged; copy the file again, or pack the images again"
                )
            # Eight times faster than a NumPy transpose. Gray images have 3 equal channels.
            planes = self._library.split(pixels)
            for channel in range(self.channels):
                out[row, channel] = planes[channel]

    def _read_index(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels (N, int64), and the position and size of each image in the file.

        Raises:
            DataError: when the file is damaged or does not match the sidecar file.
        """
        try:
            reader = self._library.reader(str(self.file))
        except AssertionError as error:  # raised by ffcv for a file of a different version
            raise DataError(
                f"[data] {self.file}: was written by a different version of ffcv ({error}); "
                "pack the images again"
            ) from None
        except Exception:  # a damaged header can raise anything, with unhelpful messages
            raise DataError(self._damage_message("its header cannot be read")) from None
        images, labels = self._columns(reader)
        count = len(self.names)
        table = reader.alloc_table[np.argsort(reader.alloc_table["sample_id"], kind="stable")]
        if not np.array_equal(table["ptr"], images["data_ptr"]):
            raise DataError(self._damage_message("its table of images is incomplete"))
        records = np.empty(count, [("start", np.int64), ("size", np.int64), ("raw", bool)])
        records["start"], records["size"] = table["ptr"], table["size"]
        records["raw"] = images["mode"] == self._library.raw_mode
        is_raw_size = records["size"] == 3 * self.image_size**2
        end = records["start"] + records["size"]
        if (records["raw"] & ~is_raw_size).any() or (end > self.file.stat().st_size).any():
            raise DataError(
                self._damage_message(
                    "an image has a wrong size or extends beyond the end of the file"
                )
            )
        return labels, records

    def _columns(self, reader: Any) -> tuple[np.ndarray, np.ndarray]:
        """Check the structure of the file and return its image and label columns.

        Raises:
            DataError: when fields, number of images or image size differ from the sidecar file.
        """
        if reader.field_names != FIELDS:
            fields = ", ".join(reader.field_names)
            raise DataError(
                self._damage_message(f"its fields are {fields} instead of {', '.join(FIELDS)}")
            )
        metadata = reader.metadata
        if len(metadata) != len(self.names):
            raise DataError(
                self._damage_message(
                    f"it has {len(metadata)} images, but {len(self.names)} were packed"
                )
            )
        images, labels = metadata["f0"], metadata["f1"]
        if (images["width"] != self.image_size).any() or (
            images["height"] != self.image_size
        ).any():
            raise DataError(
                self._damage_message(f"not all images are {self.image_size} pixels wide and high")
            )
        return images, labels.astype(np.int64)

    def _damage_message(self, reason: str) -> str:
        """Return the error message for a damaged file."""
        return f"[data] {self.file}: is damaged ({reason}); copy it again, or pack the images again"


@lru_cache(maxsize=4)
def _thread_pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a fork needs new threads
    """Return a thread pool that stays open, because libffcv never frees a thread's decoder."""
    return ThreadPoolExecutor(threads, thread_name_prefix="ffcv")

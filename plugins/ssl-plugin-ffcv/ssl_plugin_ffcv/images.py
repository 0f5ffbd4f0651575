"""The images of one packed file, decoded in threads when they are asked for."""

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
from ssl_plugin_ffcv.sidecar import Part

FIELDS = ["image", "label"]
"""Of every record, in this order."""

_AT_ONCE = 8
"""Images that a thread takes at a time: handing out single ones costs a twentieth of decoding."""


class PackedImages(ImageDataset):
    """A packed split. Its file is memory-mapped: what is not read takes no memory.

    Args:
        file: the ``.beton``.
        part: what the sidecar says of it.
        channels: 1 or 3, of what is given back.
        image_size: of all images, in pixels.
        threads: that decode.

    Raises:
        DataError: when the file is damaged or not what the sidecar says.
    """

    image_size: int
    slow_hint = (
        "give [data] num_threads more cores and [trainer] num_threads fewer, or pack the images "
        "smaller by `ssl-host data pack --size`"
    )

    def __init__(
        self, file: Path, part: Part, channels: int, image_size: int, threads: int
    ) -> None:
        self.file = file
        self.names = part.names
        self.missing = part.skipped
        self.channels = channels
        self.image_size = image_size
        self.threads = threads
        self._library = library()
        labels, self._records = self._index()
        if part.labelled:
            self.labels = torch.from_numpy(labels)
            self.classes = part.classes
            if labels.min() < 0 or labels.max() >= len(part.classes):
                raise DataError(self._damaged("a label is not among the classes"))
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
        numbers = indices.tolist()
        out = np.empty((len(numbers), self.channels, self.image_size, self.image_size), np.uint8)
        starts = range(0, len(numbers), _AT_ONCE)

        def work(start: int) -> None:
            part = slice(start, start + _AT_ONCE)
            self._decode(numbers[part], out[part])

        for _ in _pool(os.getpid(), self.threads).map(work, starts):
            pass
        return torch.from_numpy(out)

    def _decode(self, numbers: list[int], out: np.ndarray) -> None:
        """Images into B C S S, uint8."""
        image_size = self.image_size
        decoded = np.empty((image_size, image_size, 3), np.uint8)
        for row, i in enumerate(numbers):
            record = self._records[i]
            data = self._bytes[record["start"] : record["start"] + record["size"]]
            pixels = data.reshape(image_size, image_size, 3) if record["raw"] else decoded
            if not record["raw"] and self._library.imdecode(
                data, decoded, image_size, image_size, image_size, image_size
            ):
                raise DataError(
                    f"[data] {self.file}: image {i} ({self.names[i]}) cannot be decoded: the file "
                    "is damaged; copy it again, or pack the images anew"
                )
            # Eight times faster than numpy's transposition; gray images have three equal channels.
            planes = self._library.split(pixels)
            for channel in range(self.channels):
                out[row, channel] = planes[channel]

    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels N, int64, and where each image's bytes are, from the file's own tables."""
        try:
            reader = self._library.reader(str(self.file))
        except AssertionError as error:  # how ffcv tells another version
            raise DataError(
                f"[data] {self.file}: was not written by this ffcv ({error}); pack the images anew"
            ) from None
        except Exception:  # a damaged header leads anywhere, and what is met there tells nothing
            raise DataError(self._damaged("its header cannot be read")) from None
        images, labels = self._columns(reader)
        count = len(self.names)
        table = reader.alloc_table[np.argsort(reader.alloc_table["sample_id"], kind="stable")]
        if not np.array_equal(table["ptr"], images["data_ptr"]):
            raise DataError(self._damaged("its table of images is not complete"))
        records = np.empty(count, [("start", np.int64), ("size", np.int64), ("raw", bool)])
        records["start"], records["size"] = table["ptr"], table["size"]
        records["raw"] = images["mode"] == self._library.raw_mode
        whole = records["size"] == 3 * self.image_size**2
        end = records["start"] + records["size"]
        if (records["raw"] & ~whole).any() or (end > self.file.stat().st_size).any():
            raise DataError(self._damaged("an image lies beyond its end"))
        return labels, records

    def _columns(self, reader: Any) -> tuple[np.ndarray, np.ndarray]:
        if reader.field_names != FIELDS:
            fields = ", ".join(reader.field_names)
            raise DataError(self._damaged(f"its fields are {fields}, not {', '.join(FIELDS)}"))
        found = reader.metadata
        if len(found) != len(self.names):
            raise DataError(
                self._damaged(f"it has {len(found)} images, and {len(self.names)} were packed")
            )
        images, labels = found["f0"], found["f1"]
        if (images["width"] != self.image_size).any() or (
            images["height"] != self.image_size
        ).any():
            raise DataError(self._damaged(f"not all images are of {self.image_size} pixels"))
        return images, labels.astype(np.int64)

    def _damaged(self, why: str) -> str:
        return f"[data] {self.file}: is damaged: {why}; copy it again, or pack the images anew"


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a fork has no threads
    """Kept for good: libffcv keeps a decoder for every thread that ever called it."""
    return ThreadPoolExecutor(threads, thread_name_prefix="ffcv")

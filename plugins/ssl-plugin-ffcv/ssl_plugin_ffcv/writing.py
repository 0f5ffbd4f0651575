"""One split into one ffcv file, image by image."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_host import (
    DataError,
    ImageDataset,
    MissingImage,
    RunError,
    UnreadableImage,
    resize_and_crop,
)
from ssl_plugin_ffcv.images import FIELDS
from ssl_plugin_ffcv.library import library

_SMALLEST_PAGE, _LARGEST_PAGE = 2**21, 2**31
"""Bounds of ffcv's, in bytes. A page is written at once, and no image lies across two."""

_SHARED = Path("/dev/shm")
"""Where ffcv keeps the table of images while it writes: 24 bytes an image."""


@dataclass
class Written:
    """What became of a split.

    Attributes:
        kept: each written image's number in its set, in the file's order, which is the set's.
        skipped: what could not be read.
    """

    kept: list[int] = field(default_factory=list)
    skipped: list[MissingImage] = field(default_factory=list)


@dataclass(frozen=True)
class Form:
    """How images are kept.

    Attributes:
        side: in pixels, of all of them.
        channels: 1 or 3; gray ones are written as 3 equal channels, for ffcv knows no other.
        quality: of the JPEGs, from 1 to 100; None keeps every pixel.
        workers: threads that decode and compress.
    """

    side: int
    channels: int
    quality: int | None
    workers: int


def write_beton(
    file: Path, images: ImageDataset, form: Form, tell: Callable[[int], None] | None = None
) -> Written:
    """Write every image that can be read, in order, with its label (-1 without labels).

    ffcv's own ``DatasetWriter`` lays the file out. Its worker processes are not used: they wait
    for ever when one of them is stopped, and leave their shared memory behind; here threads
    decode and compress, which is done outside of Python's lock.

    Args:
        tell: called with the number of images done.

    Raises:
        DataError: when no image can be read, or one is not what its source says.
        RunError: when the system has too little shared memory for the file's tables.
    """
    ffcv = library()
    mode = "raw" if form.quality is None else "jpg"
    image_field = ffcv.image_field(write_mode=mode, jpeg_quality=form.quality or 90)
    fields = dict(zip(FIELDS, (image_field, ffcv.int_field()), strict=True))
    writer = ffcv.writer(str(file), fields, page_size=_page_size(form), num_workers=1)
    writer.num_samples = len(images)
    _check_shared_memory(len(images) * writer.metadata_type.itemsize)
    writer.prepare()
    try:
        allocator = ffcv.allocator(str(file), writer.data_region_start, writer.page_size)
        table = np.ndarray(len(images), writer.metadata_type, writer.metadata_sm.buf)
        try:
            with allocator:
                written = _fill(table, allocator, image_field, images, form, tell)
        finally:
            del table  # shared memory with a view on it cannot be closed
        if not written.kept:
            raise DataError(_nothing(written.skipped))
        writer.header["num_samples"] = len(written.kept)
        writer.finalize(allocator.allocations)
    finally:
        writer.metadata_sm.close()
        writer.metadata_sm.unlink()
    return written


def _fill(
    table: np.ndarray,
    allocator: Any,
    image_field: Any,
    images: ImageDataset,
    form: Form,
    tell: Callable[[int], None] | None,
) -> Written:
    labels = None if images.labels is None else images.labels.tolist()
    written = Written()

    def work(i: int) -> tuple[np.ndarray, np.ndarray] | str:
        try:
            image = images.read(i)
        except UnreadableImage as error:
            return str(error)
        if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != form.channels:
            raise DataError(
                f"[data] {images.name(i)} is {image.dtype} of shape {tuple(image.shape)}, and its "
                f"source says uint8 of {form.channels} channels"
            )
        return _encode(image_field, resize_and_crop(image, form.side))

    for i, outcome in enumerate(_in_order(work, len(images), form.workers)):
        if isinstance(outcome, str):
            label = None if labels is None else labels[i]
            written.skipped.append(MissingImage(i, label, images.name(i), outcome))
        else:
            row = len(written.kept)
            entry, data = outcome
            allocator.set_current_sample(row)
            entry["data_ptr"], place = allocator.malloc(data.nbytes)
            place[:] = data
            table["f0"][row] = entry[0]
            table["f1"][row] = -1 if labels is None else labels[i]
            written.kept.append(i)
        if tell is not None:
            tell(i + 1)
    return written


def _encode(image_field: Any, image: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """An entry of the file's table, its place still open, and the bytes that go there."""
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    entry = np.zeros(1, image_field.metadata_type)
    data = np.empty(0, np.uint8)

    def lend(size: int) -> tuple[int, np.ndarray]:
        nonlocal data
        data = np.empty(size, np.uint8)
        return 0, data

    image_field.encode(entry, pixels, lend)
    return entry, data


def _in_order(work: Callable[[int], Any], count: int, workers: int) -> Iterator[Any]:
    """Outcomes in order, a bounded number of images in flight: Executor.map submits them all."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pack")
    ahead: deque[Future[Any]] = deque()
    try:
        for i in range(count):
            ahead.append(pool.submit(work, i))
            if len(ahead) > 16 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _page_size(form: Form) -> int:
    """A power of two, for at least two images; for forty where that is not too much, so that
    little is left empty at a page's end."""
    whole = 3 * form.side**2
    wanted = min(max(40 * whole, _SMALLEST_PAGE), 2**23)
    return min(1 << (max(wanted, 2 * whole) - 1).bit_length(), _LARGEST_PAGE)


def _check_shared_memory(needed: int) -> None:
    """ffcv writes into it without asking, and a process that finds none left is killed."""
    if not _SHARED.is_dir():
        return
    free = shutil.disk_usage(_SHARED).free
    if free < needed:
        raise RunError(
            f"{_SHARED} has {free >> 20} MB left, and the tables of the packed file take "
            f"{needed >> 20} MB while it is written; give it more (docker run --shm-size)"
        )


def _nothing(skipped: list[MissingImage]) -> str:
    first = "; ".join(f"{each.name}: {each.reason}" for each in skipped[:3])
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return f"[data] none of {len(skipped)} images could be read: {first}{more}"

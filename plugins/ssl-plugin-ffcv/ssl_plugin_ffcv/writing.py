"""Write the images of a split to an FFCV file."""

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
    resize_to_square,
)
from ssl_plugin_ffcv.images import FIELDS
from ssl_plugin_ffcv.library import library

_SMALLEST_PAGE, _LARGEST_PAGE = 2**21, 2**31
"""Smallest and largest page size of ffcv in bytes; an image must fit into one page."""

_SHARED_MEMORY = Path("/dev/shm")
"""Folder in which ffcv keeps the table of images while it writes, with 24 bytes per image."""


@dataclass
class WriteResult:
    """Result of writing a split: the images that were written and those that were skipped.

    Attributes:
        indices: dataset index of each written image, in the order of the file.
        skipped: images that could not be read.
    """

    indices: list[int] = field(default_factory=list)
    skipped: list[MissingImage] = field(default_factory=list)


@dataclass(frozen=True)
class ImageFormat:
    """Format in which images are packed.

    Attributes:
        side: height and width in pixels.
        channels: 1 or 3; gray images are written as 3 equal channels, because ffcv requires 3.
        quality: JPEG quality from 1 to 100; None stores uncompressed pixels.
        workers: number of threads that decode and compress images.
    """

    side: int
    channels: int
    quality: int | None
    workers: int


def write_beton(
    file: Path,
    images: ImageDataset,
    image_format: ImageFormat,
    report: Callable[[int], None] | None = None,
) -> WriteResult:
    """Write all readable images to an FFCV file, with their labels (-1 without a label).

    ffcv's ``DatasetWriter`` lays out the file. Its worker processes are not used, because they
    hang when one of them is stopped, and do not free their shared memory. Instead, threads decode
    and compress the images; both operations release the GIL.

    Args:
        file: path of the file to write.
        images: images to write.
        image_format: format of the images.
        report: function that is called after each image with the number of finished images.

    Returns:
        The indices of the written images, and the skipped images.

    Raises:
        DataError: when no image can be read, or an image has an unexpected shape or dtype.
        RunError: when there is not enough shared memory for the tables of the file.
    """
    ffcv = library()
    mode = "raw" if image_format.quality is None else "jpg"
    image_field = ffcv.image_field(write_mode=mode, jpeg_quality=image_format.quality or 90)
    fields = dict(zip(FIELDS, (image_field, ffcv.int_field()), strict=True))
    writer = ffcv.writer(str(file), fields, page_size=_page_size(image_format), num_workers=1)
    writer.num_samples = len(images)
    _check_shared_memory(len(images) * writer.metadata_type.itemsize)
    writer.prepare()
    try:
        allocator = ffcv.allocator(str(file), writer.data_region_start, writer.page_size)
        table = np.ndarray(len(images), writer.metadata_type, writer.metadata_sm.buf)
        try:
            with allocator:
                result = _fill(table, allocator, image_field, images, image_format, report)
        finally:
            del table  # shared memory cannot be closed while an array uses it
        if not result.indices:
            raise DataError(_no_readable_images_message(result.skipped))
        writer.header["num_samples"] = len(result.indices)
        writer.finalize(allocator.allocations)
    finally:
        writer.metadata_sm.close()
        writer.metadata_sm.unlink()
    return result


def _fill(
    table: np.ndarray,
    allocator: Any,
    image_field: Any,
    images: ImageDataset,
    image_format: ImageFormat,
    report: Callable[[int], None] | None,
) -> WriteResult:
    """Write all readable images and fill in the table of the file, one row per image.

    Raises:
        DataError: when an image has an unexpected shape or dtype.
    """
    labels = None if images.labels is None else images.labels.tolist()
    result = WriteResult()

    def work(i: int) -> tuple[np.ndarray, np.ndarray] | str:
        try:
            image = images.read(i)
        except UnreadableImage as error:
            return str(error)
        if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != image_format.channels:
            raise DataError(
                f"[data] {images.name(i)} is {image.dtype} of shape {tuple(image.shape)}, but its "
                f"source declares uint8 with {image_format.channels} channels"
            )
        return _encode(image_field, resize_to_square(image, image_format.side, images.fit))

    for i, outcome in enumerate(_map_in_order(work, len(images), image_format.workers)):
        if isinstance(outcome, str):
            label = None if labels is None else labels[i]
            result.skipped.append(MissingImage(i, label, images.name(i), outcome))
        else:
            row = len(result.indices)
            entry, data = outcome
            allocator.set_current_sample(row)
            entry["data_ptr"], buffer = allocator.malloc(data.nbytes)
            buffer[:] = data
            table["f0"][row] = entry[0]
            table["f1"][row] = -1 if labels is None else labels[i]
            result.indices.append(i)
        if report is not None:
            report(i + 1)
    return result


def _encode(image_field: Any, image: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Encode an image; return its table row, without the position, and its bytes."""
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    entry = np.zeros(1, image_field.metadata_type)
    data = np.empty(0, np.uint8)

    def allocate(size: int) -> tuple[int, np.ndarray]:
        nonlocal data
        data = np.empty(size, np.uint8)
        return 0, data

    image_field.encode(entry, pixels, allocate)
    return entry, data


def _map_in_order(work: Callable[[int], Any], count: int, workers: int) -> Iterator[Any]:
    """Yield ``work(0)``, ``work(1)``, ... in order; threads compute the results.

    Unlike Executor.map, it queues only a few calls at a time.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pack")
    pending: deque[Future[Any]] = deque()
    try:
        for i in range(count):
            pending.append(pool.submit(work, i))
            if len(pending) > 16 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _page_size(image_format: ImageFormat) -> int:
    """Return the page size in bytes, a power of two.

    A page has space for 40 raw images, but is limited to 8 MiB unless two images need more.
    """
    raw_size = 3 * image_format.side**2
    size = min(max(40 * raw_size, _SMALLEST_PAGE), 2**23)
    return min(1 << (max(size, 2 * raw_size) - 1).bit_length(), _LARGEST_PAGE)


def _check_shared_memory(needed: int) -> None:
    """Check that enough shared memory is free; the system kills a process that runs out of it.

    Args:
        needed: required memory in bytes.

    Raises:
        RunError: when less memory is free.
    """
    if not _SHARED_MEMORY.is_dir():
        return
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if free < needed:
        raise RunError(
            f"{_SHARED_MEMORY} has {free >> 20} MB left, but the tables of the packed file take "
            f"{needed >> 20} MB while it is written; increase the size of {_SHARED_MEMORY} "
            "(docker run --shm-size)"
        )


def _no_readable_images_message(skipped: list[MissingImage]) -> str:
    """Return the error message for a dataset without a single readable image."""
    first = "; ".join(f"{each.name} ({each.reason})" for each in skipped[:3])
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return f"[data] none of {len(skipped)} images could be read: {first}{more}"

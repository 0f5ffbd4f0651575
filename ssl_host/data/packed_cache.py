"""Disk cache of decoded images: one array for each dataset, and an index of its rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.toolkit.atomic_io import atomic_write_text, reserve_disk_space
from ssl_host.toolkit.cores import available_cores
from ssl_host.toolkit.resizing import resize_to_square
from ssl_host.toolkit.sampling import evenly_spaced_indices

Skipped = tuple[str, str]
"""Name of an image that could not be read, and the reason."""

Progress = Callable[[int, int], None]
"""Function that is called with the number of images done and the total number of images."""


@dataclass(frozen=True)
class PackIndex:
    """Index of a packed array: the image in each of its rows.

    Attributes:
        indices: dataset index of the image in each row; any rows beyond these are unused.
        skipped: (name, reason) for each image that could not be read.
        transient: True if some of the skipped images may become readable later.
    """

    indices: list[int]
    skipped: list[Skipped]
    transient: bool = False


def find_or_pack(
    images: ImageDataset, shape: tuple[int, int, int], cache: Path, progress: Progress | None = None
) -> tuple[Tensor, PackIndex]:
    """Return packed images as a memory-mapped tensor; pack them first if they are not cached.

    Args:
        images: dataset to pack.
        shape: shape (C, S, S) of a packed image.
        cache: folder that contains the packed arrays.
        progress: function to call after each image.

    Returns:
        A uint8 tensor (N, C, S, S), and a PackIndex that maps its rows to dataset indices.
    """
    cache.mkdir(parents=True, exist_ok=True)
    stem = cache / _fingerprint(images, shape)
    whole = (len(images), *shape)
    found = _read(stem, whole)
    if found is None or found[1].transient:
        # Only one process packs; others would just decode the same images again.
        with FileLock(stem.with_suffix(".lock")):
            found = _read(stem, whole)
            if found is None or found[1].transient:
                _write(images, whole, stem, progress)
                found = _read(stem, whole)
    assert found is not None
    return found


def is_packed(images: ImageDataset, shape: tuple[int, int, int], cache: Path) -> bool:
    """Return True if the cache contains these images, so that they need not be decoded."""
    found = _read(cache / _fingerprint(images, shape), (len(images), *shape))
    return found is not None and not found[1].transient


def _read(stem: Path, shape: tuple[int, ...]) -> tuple[Tensor, PackIndex] | None:
    """Return the images and their index from the cache; None if missing or damaged."""
    try:
        content = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        skipped = [(name, reason) for name, reason in content["skipped"]]
        index = PackIndex(list(content["indices"]), skipped, bool(content.get("transient")))
        # Copy-on-write, because torch expects a writable array; nothing is ever written.
        array = np.load(stem.with_suffix(".npy"), mmap_mode="c")
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    is_valid = array.shape == shape and array.dtype == np.uint8 and len(index.indices) <= len(array)
    return (torch.from_numpy(array), index) if is_valid else None


def _write(
    images: ImageDataset, shape: tuple[int, ...], stem: Path, progress: Progress | None
) -> None:
    """Decode the images and write the array and its index, leaving no incomplete file behind."""
    partial, index_file = stem.with_suffix(".partial"), stem.with_suffix(".json")
    # A killed process may have left this file. Remove it instead of overwriting it, because
    # another machine may have it mapped.
    partial.unlink(missing_ok=True)
    try:
        array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        with partial.open("r+b") as file:
            reserve_disk_space(file.fileno(), partial.stat().st_size, partial)
            index = _fill(array, images, shape[-1], progress)
            array.flush()
            del array
            os.fsync(file.fileno())
        index_file.unlink(missing_ok=True)  # it describes the previous array
        partial.replace(stem.with_suffix(".npy"))
    finally:
        partial.unlink(missing_ok=True)
    atomic_write_text(index_file, json.dumps(asdict(index)))


def _fill(
    array: np.ndarray, images: ImageDataset, size: int, progress: Progress | None
) -> PackIndex:
    """Decode the readable images into the rows of the array and return the index."""
    indices: list[int] = []
    skipped: list[Skipped] = []
    transient = False

    def decode(i: int) -> Tensor | UnreadableImage:
        try:
            return resize_to_square(images.read(i), size, images.fit)
        except UnreadableImage as error:
            return error

    with ThreadPoolExecutor(max_workers=available_cores()) as pool:
        for i, result in _map_in_order(pool, decode, len(images)):
            if isinstance(result, UnreadableImage):
                skipped.append((images.name(i), str(result)))
                transient = transient or result.transient
            else:
                array[len(indices)] = result.numpy()
                indices.append(i)
            if progress is not None:
                progress(i + 1, len(images))
    return PackIndex(indices, skipped, transient)


def _map_in_order(
    pool: ThreadPoolExecutor, decode: Callable[[int], Tensor | UnreadableImage], count: int
) -> Iterator[tuple[int, Tensor | UnreadableImage]]:
    """Yield (index, result) in order, block by block, to limit the number of images in memory."""
    for start in range(0, count, 512):
        block = range(start, min(start + 512, count))
        yield from zip(block, pool.map(decode, block), strict=True)


def _fingerprint(images: ImageDataset, shape: tuple[int, int, int]) -> str:
    """Return a hash of the names, sizes and modification times of files, and of how to decode."""
    settings = (5, shape[0], shape[1], images.fit, images.value_range)
    digest = hashlib.sha256(repr(settings).encode())
    states: dict[str, str] = {}
    for i in range(len(images)):
        path = images.path(i)
        file = "" if path is None else str(path)
        if file and file not in states:
            states[file] = _file_state(file)
        line = f"{states.get(file, '')}\0{images.name(i)}\n"
        digest.update(line.encode("utf-8", "backslashreplace"))  # names may not be Unicode
    if not states:
        digest.update(_sample_digest(images))
    return digest.hexdigest()[:32]


def _file_state(path: str) -> str:
    """Return text that changes when a file is modified or becomes readable or unreadable."""
    try:
        info = os.stat(path)  # noqa: PTH116 - a Path for each file is slow
    except OSError:
        return f"{path}\0gone"
    # Changing permissions changes neither the size nor the modification time.
    return f"{path}\0{info.st_size}\0{info.st_mtime_ns}\0{info.st_mode}"


def _sample_digest(images: ImageDataset) -> bytes:
    """Return a hash of the pixels of up to 32 images, for datasets that have no image files."""
    digest = hashlib.sha256()
    for i in evenly_spaced_indices(len(images), 32).tolist():
        try:
            digest.update(images.read(i).contiguous().numpy().tobytes())
        except UnreadableImage as error:
            digest.update(str(error).encode())
    return digest.digest()

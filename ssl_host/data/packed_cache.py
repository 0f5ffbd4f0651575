"""Sets of images decoded once and kept on the disk: an array, and the listing of what is in it."""

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
from ssl_host.toolkit.atomic_io import atomic_write_text, reserve
from ssl_host.toolkit.cores import available_cores
from ssl_host.toolkit.image_files import resize_and_crop
from ssl_host.toolkit.sampling import evenly_spaced_indices

Skipped = tuple[str, str]
"""An image's name and what is wrong with it."""

Progress = Callable[[int, int], None]
"""Told images done and in all."""


@dataclass(frozen=True)
class PackIndex:
    """What is in an array.

    Attributes:
        kept: each row's number in the set; rows after these are empty.
        skipped: what could not be read.
        transient: whether some of that may be readable another time.
    """

    kept: list[int]
    skipped: list[Skipped]
    transient: bool = False


def find_or_pack(
    images: ImageDataset, shape: tuple[int, int, int], cache: Path, progress: Progress | None = None
) -> tuple[Tensor, PackIndex]:
    """Images N C S S, uint8, memory-mapped, made by the first process that asks for them.

    Args:
        shape: C, S and S.
        cache: folder of the arrays.
    """
    cache.mkdir(parents=True, exist_ok=True)
    stem = cache / _fingerprint(images, shape)
    whole = (len(images), *shape)
    found = _read(stem, whole)
    if found is None or found[1].transient:
        # One process at a time: the others would decode the same, and wait no longer like this.
        with FileLock(stem.with_suffix(".lock")):
            found = _read(stem, whole)
            if found is None or found[1].transient:
                _write(images, whole, stem, progress)
                found = _read(stem, whole)
    assert found is not None
    return found


def _read(stem: Path, shape: tuple[int, ...]) -> tuple[Tensor, PackIndex] | None:
    """What an earlier process has left, if both files are there and sound."""
    try:
        about = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        skipped = [(name, reason) for name, reason in about["skipped"]]
        listing = PackIndex(list(about["kept"]), skipped, bool(about.get("transient")))
        # Opened for copying on write: torch wants a writable array, and nothing is written.
        array = np.load(stem.with_suffix(".npy"), mmap_mode="c")
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    sound = array.shape == shape and array.dtype == np.uint8 and len(listing.kept) <= len(array)
    return (torch.from_numpy(array), listing) if sound else None


def _write(
    images: ImageDataset, shape: tuple[int, ...], stem: Path, progress: Progress | None
) -> None:
    partial, listing_file = stem.with_suffix(".partial"), stem.with_suffix(".json")
    # What a killed process has left. It is not written over: another machine may have it mapped.
    partial.unlink(missing_ok=True)
    try:
        array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        with partial.open("r+b") as file:
            reserve(file.fileno(), partial.stat().st_size, partial)
            listing = _fill(array, images, shape[-1], progress)
            array.flush()
            del array
            os.fsync(file.fileno())
        listing_file.unlink(missing_ok=True)  # it tells of another array
        partial.replace(stem.with_suffix(".npy"))
    finally:
        partial.unlink(missing_ok=True)
    atomic_write_text(listing_file, json.dumps(asdict(listing)))


def _fill(
    array: np.ndarray, images: ImageDataset, size: int, progress: Progress | None
) -> PackIndex:
    kept: list[int] = []
    skipped: list[Skipped] = []
    transient = False

    def decode(i: int) -> Tensor | UnreadableImage:
        try:
            return resize_and_crop(images.read(i), size)
        except UnreadableImage as error:
            return error

    with ThreadPoolExecutor(max_workers=available_cores()) as pool:
        for i, outcome in _in_order(pool, decode, len(images)):
            if isinstance(outcome, UnreadableImage):
                skipped.append((images.name(i), str(outcome)))
                transient = transient or outcome.transient
            else:
                array[len(kept)] = outcome.numpy()
                kept.append(i)
            if progress is not None:
                progress(i + 1, len(images))
    return PackIndex(kept, skipped, transient)


def _in_order(
    pool: ThreadPoolExecutor, decode: Callable[[int], Tensor | UnreadableImage], count: int
) -> Iterator[tuple[int, Tensor | UnreadableImage]]:
    """Outcomes in order, a bounded number of images in flight: Executor.map submits them all."""
    for start in range(0, count, 512):
        block = range(start, min(start + 512, count))
        yield from zip(block, pool.map(decode, block), strict=True)


def _fingerprint(images: ImageDataset, shape: tuple[int, int, int]) -> str:
    """Changes when an image is added or removed, when a file that images lie in is written, or
    when the store's form changes."""
    digest = hashlib.sha256(f"2 {shape[0]} {shape[1]}".encode())
    states: dict[Path, str] = {}
    for i in range(len(images)):
        path = images.path(i)
        if path is not None and path not in states:
            states[path] = _state(path)
        called = f"{'' if path is None else states[path]}\0{images.name(i)}\n"
        digest.update(called.encode("utf-8", "backslashreplace"))  # names need not be Unicode
    if not states:
        digest.update(_some_pixels(images))
    return digest.hexdigest()[:32]


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"{path}\0gone"
    # Giving permission changes neither size nor time.
    closed = "" if os.access(path, os.R_OK) else "\0closed"
    return f"{path}\0{found.st_size}\0{found.st_mtime_ns}{closed}"


def _some_pixels(images: ImageDataset) -> bytes:
    """What tells sets apart that lie in no file and may call all their images alike."""
    digest = hashlib.sha256()
    for i in evenly_spaced_indices(len(images), 32).tolist():
        try:
            digest.update(images.read(i).contiguous().numpy().tobytes())
        except UnreadableImage as error:
            digest.update(str(error).encode())
    return digest.digest()

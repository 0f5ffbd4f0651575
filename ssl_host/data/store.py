"""Decoded images in one uint8 array: an epoch is then index, copy, augment."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ssl_host.contracts.data import ArrayImages, ImageSet, UnreadableImage
from ssl_host.data.splits import Subset
from ssl_host.errors import DataError
from ssl_host.toolkit.cores import available_cores
from ssl_host.toolkit.image_files import fit_image
from ssl_host.toolkit.spread import spread
from ssl_host.toolkit.storage import reserve

Skipped = tuple[str, str]
"""An image's name and what is wrong with it."""


class Pixels(Protocol):
    """Images N C S S, uint8: a tensor, or something that decodes what is indexed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class Store:
    """Images of one size, ready to index.

    Attributes:
        images: N C S S, uint8, in memory or memory-mapped; or decoded when indexed.
        labels: N, int64, or None.
        kept: N, each image's number in the set it came from.
        skipped: what could not be read when it was packed.
        name: what messages call an image of the original set.
        on_disk: whether indexing reads a file.
    """

    images: Pixels
    labels: Tensor | None
    kept: Tensor
    skipped: tuple[Skipped, ...] = ()
    name: Callable[[int], str] = "image {}".format
    on_disk: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def called(self, i: int) -> str:
        """What messages call image ``i`` of the store."""
        return self.name(int(self.kept[i]))

    def names(self) -> Iterator[str]:
        """What messages call the images, in order."""
        return map(self.name, self.kept.tolist())

    def faults(self) -> list[Skipped]:
        """Everything that could not be read so far, with the reason."""
        found: dict[int, str] = getattr(self.images, "unreadable", {})
        return [*self.skipped, *((self.name(i), reason) for i, reason in sorted(found.items()))]


def array_of(images: ImageSet) -> Tensor | None:
    """The array behind a set that has one, N C H W, or None."""
    if isinstance(images, ArrayImages):
        return images.images
    if isinstance(images, Subset):
        whole = array_of(images.whole)
        return None if whole is None else whole[images.chosen]
    return None


def packed_bytes(images: ImageSet, channels: int, size: int) -> int:
    """What a store of these images takes."""
    return len(images) * channels * size * size


def pack(
    images: ImageSet,
    channels: int,
    size: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Decode a set once, the short side to ``size``, centre-cropped; later runs find it again.

    Args:
        images: what to decode.
        size: side in pixels of the store's images.
        cache: folder for the memory-mapped array.
        progress: called with images done and in all.

    Raises:
        DataError: when nothing is readable.
    """
    found = array_of(images)
    if found is not None:
        return Store(found, images.labels, torch.arange(len(found)), (), images.name)
    cache.mkdir(parents=True, exist_ok=True)
    stem = cache / _fingerprint(images, channels, size)
    listing = stem.with_suffix(".json")
    if not listing.exists():
        _write(images, channels, size, stem, progress)
    about = json.loads(listing.read_text(encoding="utf-8"))
    kept = torch.tensor(about["kept"], dtype=torch.int64)
    skipped = tuple((name, reason) for name, reason in about["skipped"])
    if len(kept) == 0:
        raise DataError(nothing_readable(skipped))
    # Opened for copying on write: torch wants a writable array, and nothing is written.
    array = np.load(stem.with_suffix(".npy"), mmap_mode="c")
    labels = None if images.labels is None else images.labels[kept]
    packed = torch.from_numpy(array)[: len(kept)]
    return Store(packed, labels, kept, skipped, images.name, on_disk=True)


def nothing_readable(skipped: tuple[Skipped, ...]) -> str:
    """The message for a set of which no image could be read."""
    first = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return f"[data] none of {len(skipped)} images could be read: {first}{more}"


def _write(
    images: ImageSet,
    channels: int,
    size: int,
    stem: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    partial = stem.with_suffix(f".{os.getpid()}.partial")
    shape = (len(images), channels, size, size)
    array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    _take_room(partial)
    kept: list[int] = []
    skipped: list[Skipped] = []

    def decode(i: int) -> Tensor | str:
        try:
            return fit_image(images.read(i), size)
        except UnreadableImage as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=available_cores()) as pool:
        for i, outcome in _in_order(pool, decode, len(images)):
            if isinstance(outcome, str):
                skipped.append((images.name(i), outcome))
            else:
                array[len(kept)] = outcome.numpy()
                kept.append(i)
            if progress is not None:
                progress(i + 1, len(images))
    array.flush()
    del array
    partial.replace(stem.with_suffix(".npy"))
    beside = stem.with_suffix(f".{os.getpid()}.list")
    beside.write_text(json.dumps({"kept": kept, "skipped": skipped}), encoding="utf-8")
    beside.replace(stem.with_suffix(".json"))


def _take_room(partial: Path) -> None:
    with partial.open("r+b") as file:
        try:
            reserve(file.fileno(), partial.stat().st_size, partial)
        except OSError:
            partial.unlink()
            raise


def _in_order(
    pool: ThreadPoolExecutor, decode: Callable[[int], Tensor | str], count: int
) -> Iterator[tuple[int, Tensor | str]]:
    """Outcomes in order, a bounded number of images in flight: Executor.map submits them all."""
    for start in range(0, count, 512):
        block = range(start, min(start + 512, count))
        yield from zip(block, pool.map(decode, block), strict=True)


def _fingerprint(images: ImageSet, channels: int, size: int) -> str:
    """Changes when an image is added or removed, when a file that images lie in is written, or
    when the store's form changes."""
    digest = hashlib.sha256(f"2 {channels} {size}".encode())
    states: dict[Path, str] = {}
    for i in range(len(images)):
        path = images.location(i)
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


def _some_pixels(images: ImageSet) -> bytes:
    """What tells sets apart that lie in no file and may call all their images alike."""
    digest = hashlib.sha256()
    for i in spread(len(images), 32).tolist():
        try:
            digest.update(images.read(i).contiguous().numpy().tobytes())
        except UnreadableImage as error:
            digest.update(str(error).encode())
    return digest.digest()

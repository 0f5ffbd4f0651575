"""Hash the content of image files, quickly enough for every start of a run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.toolkit.sampling import evenly_spaced_indices

NUM_SIZES = 20_000
"""Largest number of images for which file sizes are read; more would be slow on network disks."""
NUM_CONTENTS = 32
"""Largest number of images of which the content is read."""
NUM_BYTES = 2**16
"""Number of bytes that are read from the start of a file."""


def content_digest(datasets: Sequence[ImageDataset | None]) -> str:
    """Return a hash of the sizes of image files and the content of some of them.

    Modification times are left out, because copying a dataset to another disk changes them.

    Args:
        datasets: the splits; None for a split that does not exist.
    """
    digest = hashlib.sha256()
    for images in datasets:
        digest.update(b"split")
        if images is not None:
            for part in _parts(images):
                digest.update(part)
    return digest.hexdigest()


def _parts(images: ImageDataset) -> Iterator[bytes]:
    """Yield the parts of a dataset to hash, as bytes."""
    indices = evenly_spaced_indices(len(images), NUM_SIZES).tolist()
    for path in dict.fromkeys(map(images.path, indices)):
        if path is not None:
            try:
                yield f"{os.stat(path).st_size} ".encode()  # noqa: PTH116 - a Path each is slow
            except OSError:
                yield b"gone "
    seen: set[str | Path] = set()
    for i in evenly_spaced_indices(len(images), NUM_CONTENTS).tolist():
        path = images.path(i)
        if path is None:
            try:
                yield images.read(i).contiguous().numpy().tobytes()
            except UnreadableImage:
                yield b"unreadable"
        elif path not in seen:
            seen.add(path)
            yield _file_start(path)


def _file_start(path: str | Path) -> bytes:
    """Return the first bytes of a regular file; a placeholder for anything else."""
    try:
        if not Path(path).is_file():
            return b"no file"
        with Path(path).open("rb") as file:
            return file.read(NUM_BYTES)
    except OSError:
        return b"unreadable"

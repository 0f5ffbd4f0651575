"""Compact list of paths for datasets with many files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np


class PathList:
    """Immutable list of paths that are stored in one block of bytes.

    A list of strings takes twice as much memory, and worker processes would copy all of it: reading
    an object changes its reference count.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        names = [os.fspath(path) for path in paths]
        self._bytes = os.fsencode("\0".join(names))
        ends = np.flatnonzero(np.frombuffer(self._bytes, np.uint8) == 0)
        self._starts = np.concatenate([[0], ends + 1, [len(self._bytes) + 1]])[: len(names) + 1]

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[str]:
        return iter(os.fsdecode(self._bytes).split("\0") if len(self) else ())

    def __getitem__(self, index: int) -> str:
        index += len(self) if index < 0 else 0
        if not 0 <= index < len(self):
            raise IndexError(index)
        return os.fsdecode(self._bytes[self._starts[index] : self._starts[index + 1] - 1])

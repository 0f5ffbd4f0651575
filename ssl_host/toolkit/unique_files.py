"""Detect links to files that are already listed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

FileId = tuple[int, int]
"""Device and inode of a file or folder, which are equal for all paths and links to it."""

Inodes = dict[int, set[int]]
"""Inodes of files, keyed by device."""


class UniqueFiles:
    """Set of files that detects links to the files that it contains.

    Files are compared by device and inode, which ``os.scandir`` returns without a system call
    for each file.

    Args:
        others: the inodes of other files; links to them do not count as new files either.

    Attributes:
        inodes: the inodes of the files that were added.
    """

    def __init__(self, others: Sequence[Mapping[int, set[int]]] = ()) -> None:
        self.others = others
        self.inodes: Inodes = {}

    def add_folder(
        self, prefix: str, names: list[str], inodes: Sequence[int], device: int
    ) -> tuple[list[str], list[str]]:
        """Add the files of a folder; return the names of the new and of the known files.

        Args:
            prefix: path of the folder, with a separator at its end.
            names: names of files that are not symbolic links.
            inodes: inode of each file, as ``os.scandir`` returns it.
            device: device of the folder.
        """
        added = self.inodes.setdefault(device, set())
        known = [added, *(other.get(device, set()) for other in self.others)]
        if len(set(inodes)) == len(inodes) and all(each.isdisjoint(inodes) for each in known):
            added.update(inodes)
            return names, []
        new, old = [], []
        for name, inode in sorted(zip(names, inodes, strict=True)):
            is_known = any(inode in each for each in known)
            # Some network file systems list all files with the same number instead of their inodes.
            if is_known and identify(prefix + name) == (device, inode):
                old.append(name)
            else:
                new.append(name)
                added.add(inode)
        return new, old

    def add(self, device: int, inode: int) -> bool:
        """Add one file; return False if it is already known."""
        if any(inode in each.get(device, ()) for each in (self.inodes, *self.others)):
            return False
        self.inodes.setdefault(device, set()).add(inode)
        return True


def identify(path: str | os.PathLike[str]) -> FileId | None:
    """Return the device and inode of a file or folder, or None if it does not exist."""
    try:
        info = os.stat(path)  # noqa: PTH116 - no Path for each file
    except OSError:
        return None
    return info.st_dev, info.st_ino


def find_same_file(path: str, candidates: Iterable[str]) -> str | None:
    """Return the first of the candidates that is the same file as ``path``, or None."""
    for candidate in candidates:
        try:
            if os.path.samefile(path, candidate):  # noqa: PTH121 - no Path for each file
                return candidate
        except OSError:
            continue
    return None

"""Find the image files that a table lists, even if the case or suffix of a path is wrong."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from pathlib import Path, PureWindowsPath

from ssl_host import FileImages


def windows_drive(path: str) -> str:
    """Return the drive or server of a Windows path, such as ``C:``, or an empty string."""
    return "" if os.name == "nt" else PureWindowsPath(path).drive


class PathFinder:
    """Finds files in a folder by paths with wrong case, separators or suffixes.

    Args:
        root: folder against which relative paths are resolved.

    Attributes:
        example: text that shows the first corrected path.
        count: number of corrected paths.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.example = ""
        self.count = 0
        self._listed: dict[str, dict[str, tuple[str, ...]]] = {}

    def find(self, path: str) -> str:
        """Return the path of the file that ``path`` refers to, or ``path`` with forward slashes.

        If only one file matches, the path may have backslashes as separators, surrounding spaces,
        a leading slash or name of the root folder, no suffix, or wrong upper or lower case.
        """
        if os.path.lexists(self.root / path):
            return path
        plain = path.replace("\\", "/").strip() or path
        first, _, rest = plain.removeprefix("./").partition("/")
        within = rest if first == self.root.name else plain.lstrip("/")
        for candidate in filter(None, dict.fromkeys([plain, within])):
            found = self._find_existing(candidate)
            if found is None:
                continue
            if found != path.replace("\\", "/"):
                self.count += 1
                self.example = self.example or f"{path!r} is read as {found!r}"
            return found
        return path.replace("\\", "/")

    def notes(self, location: str) -> list[str]:
        """Return a list with a note about corrected paths; it is empty if there are none."""
        if not self.count:
            return []
        return [f"{location}: {self.count} paths do not match files exactly; {self.example}"]

    def _find_existing(self, path: str) -> str | None:
        """Return the path of the only file that matches, or None; relative paths stay relative."""
        if os.path.lexists(self.root / path):
            return path
        folder, name = os.path.split(path)
        found = self._folder_in_any_case(folder)
        if found is None:
            return None
        present = self._names(found)
        names = present.get(name.lower(), ()) or tuple(
            match
            for suffix in FileImages.suffixes
            for match in present.get(name.lower() + suffix, ())
        )
        return os.path.join(found, names[0]) if len(names) == 1 else None  # noqa: PTH118

    def _folder_in_any_case(self, folder: str) -> str | None:
        """Return the only folder that matches a path if case is ignored, or None."""
        if (self.root / folder).is_dir():
            return folder
        parent, name = os.path.split(folder)
        if parent == folder:
            return None
        above = self._folder_in_any_case(parent)
        if above is None:
            return None
        names = self._names(above).get(name.lower(), ())
        return os.path.join(above, names[0]) if len(names) == 1 else None  # noqa: PTH118

    def _names(self, folder: str) -> dict[str, tuple[str, ...]]:
        """Return the names in a folder, grouped by their form in lower case."""
        if folder not in self._listed:
            names: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
            with contextlib.suppress(OSError), os.scandir(self.root / folder) as entries:
                for entry in entries:
                    names[entry.name.lower()] += (entry.name,)
            self._listed[folder] = dict(names)
        return self._listed[folder]

"""Search for the files that a path or a pattern in a configuration refers to."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from ssl_host.errors import DataError

_MAX_FILES = 100_000
_MAX_NAMES = 1000


def find_files(setting: str, path: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files in a folder, sorted, or the files of a pattern, in its order.

    Args:
        setting: name of the setting that contains the path, for error messages.
        path: a folder, a file, or a pattern with ``{000..003}``, ``{a,b}``, ``*`` or ``?``.
        suffixes: suffixes of the files to find in a folder and its subfolders, such as ``.tar``.

    Raises:
        DataError: when no file is found, or a file in the pattern is missing.
    """
    if path.is_dir():
        candidates = (file for file in path.rglob("*") if file.name.endswith(tuple(suffixes)))
        files = [
            f for f in sorted(candidates) if f.is_file() and not _is_hidden(f.relative_to(path))
        ]
        if not files:
            present = ", ".join(sorted(file.name for file in path.iterdir())[:3])
            content = f"which contains {present}" if present else "which is empty"
            raise DataError(
                f"[data] {setting} = {path}: no {' or '.join(suffixes)} file in this folder, "
                f"{content}"
            )
        return files
    files = [file for name in expand_braces(str(path)) for file in _matching(Path(name))]
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        first = missing[0] if missing else path
        count = f" ({len(missing)} of {len(files)} are missing)" if len(files) > 1 else ""
        name = "" if first == path else f"{first}: "
        raise DataError(f"[data] {setting} = {path}: {name}no such file{count}")
    return files


def has_files(path: Path, suffixes: Sequence[str]) -> bool:
    """Return True if a path is a file with one of the suffixes, or leads to such files.

    Only names are looked at. A search in a folder also covers its subfolders, and ends after
    100,000 names, or 1,000 in the same folder; hidden names are left out.

    Args:
        path: a folder, a file, or a pattern with ``{000..003}``, ``{a,b}``, ``*`` or ``?``.
        suffixes: suffixes in lower case, such as ``.tar``; the case of names is ignored.
    """
    if not path.is_dir():
        is_found = path.is_file() or re.search(r"[*?\[{]", path.name) is not None
        return is_found and path.name.lower().endswith(tuple(suffixes))
    names = itertools.islice(_names_below(path), _MAX_FILES)
    return any(name.lower().endswith(tuple(suffixes)) for name in names)


def _names_below(folder: Path) -> Iterator[str]:
    """Yield the names of the first 1,000 visible files in a folder and in each subfolder.

    The files of a folder come before those of its subfolders. A folder without permission to list
    it has no names.
    """
    waiting = deque([folder])
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.popleft()) as found:
            entries = itertools.islice(found, _MAX_NAMES)
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    yield entry.name


def expand_braces(pattern: str) -> list[str]:
    """Expand a pattern such as ``a-{00..02}.tar`` or ``{a,b}.tar`` to names, as a shell does.

    Raises:
        DataError: when the pattern expands to too many names.
    """
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    span = re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", braces[1], re.ASCII)
    if span is None:
        options = braces[1].split(",")
    else:
        first, last = int(span[1]), int(span[2])
        if abs(last - first) >= _MAX_FILES:
            raise DataError(f"[data] {pattern}: expands to more than {_MAX_FILES:,} files")
        width = max(map(len, span.groups())) if "0" in (span[1][0], span[2][0]) else 0
        step = 1 if first <= last else -1
        options = [f"{number:0{width}}" for number in range(first, last + step, step)]
    rest = expand_braces(pattern[braces.end() :])
    if len(options) * len(rest) > _MAX_FILES:
        raise DataError(f"[data] {pattern}: expands to more than {_MAX_FILES:,} files")
    return [f"{pattern[: braces.start()]}{option}{end}" for option in options for end in rest]


def _matching(path: Path) -> list[Path]:
    """Return the files that match a path with wildcards, sorted, or a path without wildcards."""
    if path.is_file() or not re.search(r"[*?\[]", str(path)):
        return [path]
    root = Path(path.anchor)
    return sorted(root.glob(str(path.relative_to(root))))


def _is_hidden(path: Path) -> bool:
    """Return True if the name of a file or of one of its folders starts with a dot."""
    return any(part.startswith(".") for part in path.parts)

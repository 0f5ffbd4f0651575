"""The files that a path in a configuration stands for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ssl_host.errors import DataError

_MOST_FILES = 100_000


def find_files(setting: str, place: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files below a folder, sorted, or those of a pattern, in the pattern's order.

    Args:
        setting: that gives the place, for messages.
        place: a folder, a file, or a pattern with ``{000..003}``, ``{a,b}``, ``*`` or ``?``.
        suffixes: endings of the files to take out of a folder, such as ``.tar``.

    Raises:
        DataError: when there is none, or one of the pattern's is missing.
    """
    if place.is_dir():
        every = (path for path in place.rglob("*") if path.name.endswith(tuple(suffixes)))
        found = [p for p in sorted(every) if p.is_file() and not _hidden(p.relative_to(place))]
        if not found:
            present = ", ".join(sorted(path.name for path in place.iterdir())[:3])
            holds = f"it holds {present}" if present else "it is empty"
            raise DataError(f"[data] {setting} = {place}: no {' or '.join(suffixes)}; {holds}")
        return found
    found = [path for name in expand_braces(str(place)) for path in _matching(Path(name))]
    missing = [path for path in found if not path.is_file()]
    if missing or not found:
        first = missing[0] if missing else place
        of = f" ({len(missing)} of {len(found)} are missing)" if len(found) > 1 else ""
        named = "" if first == place else f"{first}: "
        raise DataError(f"[data] {setting} = {place}: {named}no such file{of}")
    return found


def expand_braces(pattern: str) -> list[str]:
    """``a-{00..02}.tar`` and ``{a,b}.tar`` as the shell expands them.

    Raises:
        DataError: when there would be too many.
    """
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    span = re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", found[1], re.ASCII)
    if span is None:
        options = found[1].split(",")
    else:
        first, last = int(span[1]), int(span[2])
        if abs(last - first) >= _MOST_FILES:
            raise DataError(f"[data] {pattern}: stands for more than {_MOST_FILES:,} files")
        width = max(map(len, span.groups())) if "0" in (span[1][0], span[2][0]) else 0
        step = 1 if first <= last else -1
        options = [f"{number:0{width}}" for number in range(first, last + step, step)]
    rest = expand_braces(pattern[found.end() :])
    if len(options) * len(rest) > _MOST_FILES:
        raise DataError(f"[data] {pattern}: stands for more than {_MOST_FILES:,} files")
    return [f"{pattern[: found.start()]}{option}{end}" for option in options for end in rest]


def _matching(path: Path) -> list[Path]:
    """What a name with ``*``, ``?`` or ``[`` in any part stands for; itself where it is there."""
    if path.is_file() or not re.search(r"[*?\[]", str(path)):
        return [path]
    root = Path(path.anchor)
    return sorted(root.glob(str(path.relative_to(root))))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)

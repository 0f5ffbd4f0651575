"""Find groups of images by their names, such as the frames of a video or the parts of an object."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

MIN_GROUPS = 3
"""Smallest number of groups in one folder; two are often the parts of a data set."""
MIN_SHARE = 0.8
"""Fraction of the images that must be in groups of several images for groups to be reported."""


def name_groups(names: Iterable[str]) -> dict[str, int]:
    """Return the number of images in each group of names that differ only in their last number.

    ``cat1_frame007.png`` and ``cat1_frame008.png`` are a group called ``cat1_frame#``. Images of
    one group often show the same object, so that a random held-out part is too easy.

    Returns:
        The sizes of all groups, keyed by pattern, largest first; empty if the names have no
        groups: if there are fewer than three in a folder, or most images are alone in theirs.
    """
    counts = Counter(filter(None, map(_pattern, names)))
    folders: Counter[str] = Counter()
    for pattern in counts:
        folders[str(PurePosixPath(pattern).parent)] += 1
    total = counts.total()
    grouped = sum(count for count in counts.values() if count > 1)
    numbered = max(folders.values(), default=0)
    if numbered < MIN_GROUPS or grouped < MIN_SHARE * total or len(counts) > total / 2:
        return {}
    return dict(counts.most_common())


def _pattern(name: str) -> str:
    """Return a name with its last number replaced by ``#`` and without its suffix."""
    path = PurePosixPath(name)
    stem, replaced = re.subn(r"\d+(?=\D*$)", "#", path.stem, count=1)
    return str(path.with_name(stem)) if replaced else ""

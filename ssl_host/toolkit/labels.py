"""Converts labels, as a data source stores them, to class indices."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ssl_host.errors import DataError
from ssl_host.toolkit.image_files import escape_name
from ssl_host.toolkit.label_checks import check_labels

UNLABELLED = -1
"""Class index of an image without a label."""

_MISSING = frozenset(
    {"", "-1", "nan", "#n/a", "n/a", "na", "<na>", "null", "none", "unlabeled", "unlabelled"}
)
"""Labels, in lower case, that stand for an image without a label; so does None.

The words are those of pandas, and those of folders in common datasets.
"""

_WHOLE = re.compile(r"\+?(-?\d+)(?:\.0*)?")


def class_labels(
    values: Sequence[Any],
    classes: Sequence[str] | None,
    location: str,
    accept_all: bool = False,
    column: str = "",
) -> tuple[Tensor, tuple[str, ...], list[str]]:
    """Return the class index of each image (-1 without a label), the class names and notes.

    None, NaN, -1, empty text and words such as "unlabeled" mean that an image has no label, unless
    ``classes`` contains them. Integers are sorted by value, text alphabetically.

    Args:
        values: the labels of N images: text, numbers or None.
        classes: class names in order, if the source defines them.
        location: file or folder to name in messages.
        accept_all: True to accept numbers and combinations of classes as classes.
        column: name of the labels in the source, such as ``age``, if they have one.

    Raises:
        DataError: if the labels are numbers, such as ages, or combinations of several classes, or
            if -1 is probably a class.
    """
    texts = label_texts(values)
    if classes is not None:
        names = tuple(map(escape_name, classes))
        return class_indices(texts, names), names, []
    counts = Counter(map(_plain, texts))
    has_minus_one = "-1" in counts
    counts = Counter({text: n for text, n in counts.items() if text.lower() not in _MISSING})
    notes = [] if accept_all else check_labels(counts, location, column)
    if has_minus_one:
        _require_other_numbers(counts, location)
    names = tuple(_sorted_names(counts))
    return class_indices(texts, names), names, notes


def _require_other_numbers(counts: Counter[str], location: str) -> None:
    """Raise DataError if -1 is probably a class and does not stand for a missing label."""
    others = sorted({int(text) for text in counts if re.fullmatch(r"-?\d{1,18}", text, re.ASCII)})
    if others == [1] or (others and others[0] < -1):
        raise DataError(
            f"[data] {location}: the labels are -1 and {', '.join(map(str, others[:3]))}, but -1 "
            "stands for an image without a label; write 0 and 1, or names"
        )


def class_indices(texts: Sequence[str], names: Sequence[str]) -> Tensor:
    """Return the index of each label's class, (N,), int64; -1 for a label that means none.

    Raises:
        UnknownClassError: if a label is not among the names.
    """
    indices = {name: i for i, name in enumerate(names)}
    for position, text in enumerate(texts):
        if text not in indices:
            plain = _plain(text)
            if plain not in indices and not is_missing(plain):
                raise UnknownClassError(position, text)
            indices[text] = indices.get(plain, UNLABELLED)
    return torch.tensor([indices[text] for text in texts], dtype=torch.int64)


def label_texts(values: Iterable[Any]) -> list[str]:
    """Return labels as valid Unicode text; None becomes empty text."""
    texts = ["" if v is None else v if isinstance(v, str) else _plain(str(v)) for v in values]
    return texts if "".join(set(texts)).isascii() else [escape_name(text) for text in texts]


def is_missing(text: str) -> bool:
    """Return True if a label stands for an image without a label."""
    return _plain(text).lower() in _MISSING


def _plain(text: str) -> str:
    """Return a label without spaces around it, and a whole number without ``+`` and decimals."""
    text = text.strip()
    whole = _WHOLE.fullmatch(text) if "." in text or text.startswith("+") else None
    return whole[1] if whole else text


class UnknownClassError(Exception):
    """Raised for the first label that is not the name of a class.

    Args:
        position: index of the image.
        label: the label.
    """

    def __init__(self, position: int, label: str) -> None:
        super().__init__(label)
        self.position = position
        self.label = label


def _sorted_names(names: Iterable[str]) -> list[str]:
    """Return class names sorted as numbers if all of them are integers, else as text."""
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)

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

UNLABELLED = -1
"""Class index of an image without a label."""

_MISSING = {"", "nan", "<na>", "-1"}
"""Labels, in lower case, that stand for an image without a label; so does None."""

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_WHOLE = re.compile(r"([+-]?\d+)\.0*")
_SEPARATORS = "|;,&+"

_MAX_NUMBERS = 20
"""Number of different integers above which they must be class indices without gaps."""
_MAX_RARE = 10
"""Number of different integers above which each must label two images on average."""


def class_labels(
    values: Sequence[Any],
    classes: Sequence[str] | None,
    location: str,
    accept_all: bool = False,
) -> tuple[Tensor, tuple[str, ...]]:
    """Return the class index of each image (-1 without a label) and the class names.

    None, empty text, NaN and -1 mean that an image has no label. Integers are sorted by value, text
    alphabetically.

    Args:
        values: the labels of N images: text, numbers or None.
        classes: class names in order, if the source defines them.
        location: file or folder to name in error messages.
        accept_all: True to accept numbers and combinations of classes as classes.

    Raises:
        DataError: if the labels are numbers, such as ages, or combinations of several classes.
    """
    texts = label_texts(values)
    if classes is not None:
        names = tuple(map(escape_name, classes))
        return class_indices(texts, names), names
    counts = Counter(map(_plain, texts))
    has_negatives = any(_integer(text) < -1 for text in counts)
    missing = _MISSING - {"-1"} if has_negatives else _MISSING
    counts = Counter({t: n for t, n in counts.items() if t.lower() not in missing})
    if not accept_all:
        _reject_numbers(counts, location)
        _reject_combinations(counts, location)
        _reject_unique(counts, location)
    if set(counts) == {"1"} and "-1" in map(_plain, texts):
        raise DataError(
            f"[data] {location}: the labels are -1 and 1, but -1 stands for an image without a "
            "label; write 0 and 1, or names"
        )
    names = tuple(_sorted_names(counts))
    return class_indices(texts, names), names


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
    """Return a label without spaces around it, and a whole number without decimals."""
    text = text.strip()
    whole = _WHOLE.fullmatch(text) if "." in text else None
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


def _integer(text: str) -> int:
    """Return the value of an integer label, and 0 for other labels."""
    return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII) else 0


def _reject_numbers(counts: Counter[str], location: str) -> None:
    """Raise DataError if the labels are numbers that are unlikely to be class indices."""
    numbers = [text for text in counts if _NUMBER.fullmatch(text)]
    if not numbers or len(numbers) < 0.8 * len(counts):
        return
    integers = sorted(int(text) for text in numbers if re.fullmatch(r"[+-]?\d{1,18}", text))
    distinct, total = len(numbers), sum(counts[text] for text in numbers)
    if len(integers) == distinct and integers[0] >= 0:
        has_gaps = integers[0] > 1 or integers[-1] - integers[0] >= len(set(integers))
        are_rare = total < 2 * distinct
        if not (distinct > _MAX_NUMBERS and has_gaps) and not (distinct > _MAX_RARE and are_rare):
            return
    examples = sorted(numbers, key=str.isdigit)[:3]  # decimals first
    raise DataError(
        f"[data] {location}: the labels look like numbers and not like classes: {total} images "
        f"have {distinct} different values such as {', '.join(examples)}. Set [data] labelled "
        "= false to train without labels, use other labels, or set labelled = true if each value "
        "is a class"
    )


def _reject_combinations(counts: Counter[str], location: str) -> None:
    """Raise DataError if labels such as ``cat|dog`` name several classes."""
    parts = {text: _split(text) for text in counts}
    occurrences = Counter(part for each in parts.values() for part in set(each))
    for text, each in parts.items():
        shared = [occurrences[part] > 1 for part in each]
        if len(each) > 1 and (all(shared) or ("|" in text and any(shared))):
            raise DataError(
                f"[data] {location}: the label {text!r} combines several classes, but an image "
                "has one class. Set [data] labelled = false to train without labels, use other "
                "labels, or set labelled = true if each combination is a class"
            )


def _reject_unique(counts: Counter[str], location: str) -> None:
    """Raise DataError if each image has a label of its own, such as a caption or a file name."""
    if len(counts) > _MAX_RARE and all(count == 1 for count in counts.values()):
        raise DataError(
            f"[data] {location}: each of {len(counts)} images has a label of its own, such as "
            f"{next(iter(counts))!r}, so the labels are no classes. Set [data] labelled = false to "
            "train without labels, use other labels, or set labelled = true if they are classes"
        )


def _split(text: str) -> list[str]:
    """Return the classes in a label such as ``cat|dog`` or ``['cat', 'dog']``."""
    separator = next((s for s in _SEPARATORS if s in text), None)
    if separator is None:
        return [text]
    parts = [part.strip(" []()'\"") for part in text.split(separator)]
    return [part for part in parts if part]


def _sorted_names(names: Iterable[str]) -> list[str]:
    """Return class names sorted as numbers if all of them are integers, else as text."""
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)

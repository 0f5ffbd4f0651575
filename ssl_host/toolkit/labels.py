"""Convert labels, as a data source stores them, to class indices."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ssl_host.errors import DataError
from ssl_host.toolkit.image_files import escape_name
from ssl_host.toolkit.label_checks import check_label_values
from ssl_host.toolkit.plurals import pluralize

UNLABELLED = -1
"""Class index of an image without a label."""

_VALUES = frozenset({"", "-1", "nan"})
_WORDS = frozenset({"#n/a", "n/a", "na", "<na>", "null", "none", "unlabeled", "unlabelled"})
"""Labels, in lower case, that mean that an image has no label, as None does.

The words are those that pandas uses, and names of folders in common datasets. Unlike the values,
they may also be names of classes, such as Na for sodium.
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
    ``classes`` contains them or ``accept_all`` is true; such words are then names of classes.

    Args:
        values: the labels of N images: text, numbers or None.
        classes: class names in order, if the source defines them; None to use the labels, sorted
            by value if all are integers, and alphabetically otherwise.
        location: file or folder to name in messages.
        accept_all: True to accept numbers, combinations of classes and words such as "none" as
            classes.
        column: name of the labels in the source, such as ``age``, if they have one.

    Returns:
        The class indices, (N,), int64, the class names, and notes about labels that may not be
        classes.

    Raises:
        DataError: if -1 is probably a class. Without ``classes`` and ``accept_all``, also if the
            labels are probably quantities such as ages, combinations of several classes, or
            different for each image.
        UnknownClassError: if ``classes`` is given and does not contain a label.
    """
    texts = label_texts(values)
    if classes is not None:
        names = tuple(map(escape_name, classes))
        if "-1" in set(texts).difference(names):
            _reject_minus_one_class(names, location)
        return class_indices(texts, names, accept_all), names, []
    counts = Counter(map(_normalise_label, texts))
    has_minus_one = "-1" in counts
    counts = Counter({t: n for t, n in counts.items() if not is_missing(t, accept_all)})
    notes = [] if accept_all else check_label_values(counts, location, column)
    if has_minus_one:
        _reject_minus_one_class(counts, location)
    names = tuple(_sorted_names(counts))
    return class_indices(texts, names, accept_all), names, notes


def missing_word_notes(texts: Iterable[str], names: Sequence[str], location: str) -> Iterator[str]:
    """Yield a note for each word such as "none" that may be a class, not a missing label.

    Args:
        texts: the labels.
        names: the class names; these are never treated as missing labels.
        location: file or folder to name in the note.
    """
    for label, n in Counter(texts).items():
        text = _normalise_label(label)
        word = text.lower()
        if word in _WORDS and text not in names and not word.startswith("unlabel"):
            yield (
                f"{location}: the label {text!r} ({pluralize(n, 'image')}) is treated as a missing "
                "label; if it is a class, rename it or set [data] labelled = true"
            )


def _reject_minus_one_class(labels: Iterable[str], location: str) -> None:
    """Raise DataError if -1 is probably a class and not a missing label."""
    others = sorted({int(text) for text in labels if re.fullmatch(r"-?\d{1,18}", text, re.ASCII)})
    if others == [1] or (others and others[0] < -1):
        raise DataError(
            f"[data] {location}: the labels are -1 and {', '.join(map(str, others[:3]))}, but -1 "
            "stands for an image without a label; write 0 and 1, or class names"
        )


def class_indices(texts: Sequence[str], names: Sequence[str], accept_all: bool = False) -> Tensor:
    """Return the index of each label's class, (N,), int64; -1 for a missing label.

    With ``accept_all``, words such as "none" are classes, not missing labels.

    Raises:
        UnknownClassError: if a label is not among the names.
    """
    indices = {name: i for i, name in enumerate(names)}
    for position, text in enumerate(texts):
        if text not in indices:
            plain = _normalise_label(text)
            if plain not in indices and not is_missing(plain, accept_all):
                raise UnknownClassError(position, text)
            indices[text] = indices.get(plain, UNLABELLED)
    return torch.tensor([indices[text] for text in texts], dtype=torch.int64)


def label_texts(values: Iterable[Any]) -> list[str]:
    """Return labels as valid Unicode text; None becomes empty text."""
    texts = [
        "" if v is None else v if isinstance(v, str) else _normalise_label(str(v)) for v in values
    ]
    return texts if "".join(set(texts)).isascii() else [escape_name(text) for text in texts]


def is_missing(text: str, accept_all: bool = False) -> bool:
    """Return True if a label means that its image has no label.

    These are empty text, NaN, -1 and, unless ``accept_all`` is true, words such as "none".
    """
    word = _normalise_label(text).lower()
    return word in _VALUES or (not accept_all and word in _WORDS)


def _normalise_label(text: str) -> str:
    """Return a label without surrounding spaces; whole numbers also lose ``+`` and decimals."""
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

"""Finds labels that are no classes: quantities, combinations of classes, and unique texts."""

from __future__ import annotations

import re
from collections import Counter

from ssl_host.errors import DataError

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_QUANTITY = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)\s*(%|[^\W\d_]{1,6}\.?)")
_DATE = re.compile(r"\d{1,4}(?:[-/.:]\d{1,4}){1,2}(?:[T ][\d:.]+Z?)?")
_FLAGS = re.compile(r"[\[(]?\s*[01](?:[\s,;]+[01])+\s*[\])]?")
_SEPARATORS = "|;,&+"
_WEAK_SEPARATORS = "/ _-"
"""Characters that are also part of the names of classes, such as ``sea lion``."""

_QUANTITY_NAMES = re.compile(
    r"(?:^|[\W_])(?:ages?|angle|area|bmi|cost|count|date|day|depth|distance|duration|height|hour"
    r"|length|month|percent(?:age)?|price|rating|score|size|speed|temperature|time|value|weight"
    r"|width|years?)(?:[\W_]|$)",
    re.IGNORECASE,
)
"""Finds the name of a quantity in the name of a column."""

_MANY = 10
"""Number of different numbers above which they are probably quantities, unless they count from 0
or 1 without gaps."""

_ADVICE = (
    "Set [data] labelled = false to train without labels, use other labels, or set labelled = "
    "true if each {} is a class"
)


def check_labels(counts: Counter[str], location: str, column: str = "") -> list[str]:
    """Return notes about labels that may not be classes.

    Args:
        counts: number of images with each label, without missing labels.
        location: file or folder to name in messages.
        column: name of the labels, such as ``age``, if they have one.

    Raises:
        DataError: if the labels are probably quantities, combinations of classes, or different for
            each image.
    """
    notes = _check_numbers(counts, location, column)
    _reject_combinations(counts, location)
    notes += _check_quantities(counts, location)
    if len(counts) > _MANY and all(count == 1 for count in counts.values()):
        raise DataError(
            f"[data] {location}: each of {len(counts)} images has a label of its own, such as "
            f"{next(iter(counts))!r}, so the labels are no classes. {_ADVICE.format('label')}"
        )
    return notes


def _check_numbers(counts: Counter[str], location: str, column: str) -> list[str]:
    """Return a note if numbers may be quantities; raise DataError if they probably are.

    Whole numbers from 0 or 1 without gaps are class indices, unless the name of their column is
    that of a quantity; with more than ten of them they could be ages all the same.
    """
    numbers = [text for text in counts if _NUMBER.fullmatch(text)]
    if len(numbers) < max(2, 0.8 * len(counts)):
        return []
    is_quantity = _QUANTITY_NAMES.search(column) is not None
    integers = sorted(int(text) for text in numbers if _INTEGER.fullmatch(text))
    num_values, num_images = len(set(integers)), sum(counts[text] for text in numbers)
    if len(integers) == len(numbers) and integers[0] >= 0 and not is_quantity:
        has_gaps = integers[0] > 1 or integers[-1] - integers[0] >= num_values
        is_few = len(numbers) <= _MANY
        if is_few and not has_gaps:
            return []
        if is_few or (not has_gaps and num_images >= 2 * len(numbers)):
            values = f"{integers[0]} to {integers[-1]}"
            return [_note(location, num_values, f"whole numbers from {values}")]
    examples = sorted(numbers, key=str.isdigit)[:3]  # decimals first
    raise DataError(
        f"[data] {location}: the labels look like numbers and not like classes: {num_images} "
        f"images have {len(numbers)} different values such as {', '.join(examples)}. "
        f"{_ADVICE.format('value')}"
    )


def _check_quantities(counts: Counter[str], location: str) -> list[str]:
    """Do the same for numbers with a unit, such as ``60 kg``, and for dates and times."""
    units = Counter(found[1] for text in counts if (found := _QUANTITY.fullmatch(text)))
    dates = sum(_DATE.fullmatch(text) is not None for text in counts)
    num_values = max([dates, *units.values()])
    if num_values < 2 or num_values < 0.8 * len(counts):
        return []
    examples = [text for text in counts if _QUANTITY.fullmatch(text) or _DATE.fullmatch(text)][:3]
    if num_values <= _MANY:
        return [_note(location, num_values, f"labels such as {', '.join(examples)}")]
    raise DataError(
        f"[data] {location}: the labels look like quantities or dates and not like classes: there "
        f"are {num_values} different values such as {', '.join(examples)}. "
        f"{_ADVICE.format('value')}"
    )


def _note(location: str, count: int, values: str) -> str:
    """Return the note about numbers that are taken as classes."""
    return (
        f"{location}: {count} {values} are taken as classes; if they are quantities, such as ages "
        "or years, set [data] labelled = false"
    )


def _reject_combinations(counts: Counter[str], location: str) -> None:
    """Raise DataError if labels such as ``cat|dog`` name several classes."""
    parts = {text: _split(text, _SEPARATORS) for text in counts}
    occurrences = Counter(part for each in parts.values() for part in set(each))
    for text, each in parts.items():
        shared = [occurrences[part] > 1 for part in each]
        is_combination = len(each) > 1 and (all(shared) or ("|" in text and any(shared)))
        weak = _split(text, _WEAK_SEPARATORS)
        # Many names contain a space or a slash, so all parts must be classes themselves.
        if len(set(weak)) > 1 and all(part in counts for part in weak):
            is_combination = True
        if is_combination or _has_several_flags(text, counts):
            raise DataError(
                f"[data] {location}: the label {text!r} combines several classes, but an image "
                f"has one class. {_ADVICE.format('combination')}"
            )


def _has_several_flags(text: str, counts: Counter[str]) -> bool:
    """Return True for a label such as ``1 1 0`` if all labels are flags, one for each class."""
    is_flags = _FLAGS.fullmatch(text) is not None
    return is_flags and text.count("1") != 1 and all(map(_FLAGS.fullmatch, counts))


def _split(text: str, separators: str) -> list[str]:
    """Return the classes in a label such as ``cat|dog`` or ``['cat', 'dog']``."""
    separator = next((s for s in separators if s in text), None)
    if separator is None:
        return [text]
    parts = [part.strip(" []()'\"") for part in text.split(separator)]
    return [part for part in parts if part]

"""Detect labels that are not classes: quantities, combinations of classes, unique texts."""

from __future__ import annotations

import re
from collections import Counter

from ssl_host.errors import DataError

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_QUANTITY = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)\s*(%|[^\W\d_]{1,6}\.?)")
_UNITS = {"kg", "cm", "mm", "m", "%", "year", "years"}
_DATE = re.compile(r"\d{1,4}(?:[-/.:]\d{1,4}){1,2}(?:[T ][\d:.]+Z?)?")
_RANGE = re.compile(r"\d+-\d+")
_FLAGS = re.compile(r"[\[(]?\s*[01](?:\.0*)?(?:[\s,;]+[01](?:\.0*)?)+\s*[\])]?")
_SEPARATORS = "|;,&+"
_WEAK_SEPARATORS = "/ _-"
"""Characters that are also part of the names of classes, such as ``sea lion``."""

_QUANTITY_NAMES = re.compile(
    r"(?:^|[\W_])(?:ages?|angle|area|bmi|cost|count|date|day|depth|distance|duration|height|hour"
    r"|length|month|percent(?:age)?|price|rating|score|size|speed|temperature|time|value|weight"
    r"|width|years?)(?:[\W_]|$)",
    re.IGNORECASE,
)
"""Matches column names that contain the name of a quantity."""

_CLASS_NAMES = re.compile(
    r"(?:^|[\W_])(?:groups?|class(?:es)?|bins?|categor(?:y|ies)|levels?|grades?|stages?)(?:[\W_]|$)",
    re.IGNORECASE,
)
"""Matches column names such as ``age_group``, which name classes and not quantities."""

_INDEX_NAMES = {"cls", "label", "class", "target"}
"""Names, in lower case, of labels that are class indices by convention."""

_MANY = 10
"""More different numbers than this are probably quantities, unless they count from 0 or 1 without
gaps."""

_ADVICE = (
    "Set [data] labelled = false to train without labels, use other labels, or set labelled = "
    "true if each {} is a class."
)


def check_label_values(counts: Counter[str], location: str, column: str = "") -> list[str]:
    """Return notes about labels that may not be classes.

    Args:
        counts: number of images with each label, without missing labels.
        location: file or folder to name in messages.
        column: name of the labels, such as ``age``, if they have one.

    Raises:
        DataError: if the labels are probably quantities, combinations of classes, or different for
            each image.
    """
    _reject_flags(counts, location)
    notes = _check_numbers(counts, location, column)
    notes += _check_combinations(counts, location)
    notes += _check_quantities(counts, location)
    if len(counts) > _MANY and all(count == 1 for count in counts.values()):
        raise DataError(
            f"[data] {location}: each of {len(counts)} images has a different label, such as "
            f"{next(iter(counts))!r}, so the labels are not classes. {_ADVICE.format('label')}"
        )
    return notes


def _check_numbers(counts: Counter[str], location: str, column: str) -> list[str]:
    """Return a note if numbers may be quantities; raise DataError if they probably are.

    Whole numbers from 0 or 1 without gaps are class indices, unless the column is named like a
    quantity; if there are more than ten, they could still be ages.
    """
    numbers = [text for text in counts if _NUMBER.fullmatch(text)]
    if len(numbers) < max(2, 0.8 * len(counts)):
        return []
    is_quantity = bool(_QUANTITY_NAMES.search(column)) and not _CLASS_NAMES.search(column)
    integers = sorted(int(text) for text in numbers if _INTEGER.fullmatch(text))
    num_values, num_images = len(set(integers)), sum(counts[text] for text in numbers)
    if len(integers) == len(numbers) and integers[0] >= 0 and not is_quantity:
        has_gaps = integers[0] > 1 or integers[-1] - integers[0] >= num_values
        is_few = len(numbers) <= _MANY
        if not has_gaps and (is_few or column.lower() in _INDEX_NAMES):
            return []
        if is_few or (not has_gaps and num_images >= 2 * len(numbers)):
            values = f"{integers[0]} to {integers[-1]}"
            return [_quantity_note(location, num_values, f"whole numbers from {values}")]
    examples = sorted(numbers, key=str.isdigit)[:3]  # decimals first
    reason = f" The column {column!r} is named like a quantity." if is_quantity else ""
    raise DataError(
        f"[data] {location}: the labels look like numbers, not like classes: {num_images} "
        f"images have {len(numbers)} different values such as {', '.join(examples)}."
        f"{reason} {_ADVICE.format('value')}"
    )


def _check_quantities(counts: Counter[str], location: str) -> list[str]:
    """Return a note about dates and numbers with a unit; raise DataError if there are many.

    Ranges such as ``20-29`` and numbers with an unknown word, such as ``20kmh``, may be classes, so
    they only get a note.
    """
    kinds = {text: kind for text in counts if (kind := _quantity_kind(text))}
    if not kinds:
        return []
    kind, num_values = Counter(kinds.values()).most_common(1)[0]
    if num_values < 2 or num_values < 0.8 * len(counts):
        return []
    examples = [text for text in kinds if kinds[text] == kind][:3]
    if num_values <= _MANY or kind not in {*_UNITS, "date"}:
        return [_quantity_note(location, num_values, f"labels such as {', '.join(examples)}")]
    raise DataError(
        f"[data] {location}: the labels look like quantities or dates, not like classes: there "
        f"are {num_values} different values such as {', '.join(examples)}. "
        f"{_ADVICE.format('value')}"
    )


def _quantity_kind(text: str) -> str | None:
    """Return the unit of a number, or "range" or "date"; None for other labels."""
    if _RANGE.fullmatch(text):
        return "range"
    if _DATE.fullmatch(text):
        return "date"
    found = _QUANTITY.fullmatch(text)
    return found[1].lower() if found else None


def _quantity_note(location: str, count: int, values: str) -> str:
    """Return a note about numbers that are treated as classes."""
    return (
        f"{location}: {count} {values} are treated as classes; if they are quantities, such as "
        "ages or years, set [data] labelled = false"
    )


def _check_combinations(counts: Counter[str], location: str) -> list[str]:
    """Return a note if a label such as ``front-left`` may combine two others.

    Raises:
        DataError: if labels such as ``cat|dog`` name several classes.
    """
    parts = {text: _split_label(text, _SEPARATORS) for text in counts}
    occurrences = Counter(part for each in parts.values() for part in set(each))
    for text, each in parts.items():
        shared = [occurrences[part] > 1 for part in each]
        if len(each) > 1 and (all(shared) or ("|" in text and any(shared))):
            raise DataError(
                f"[data] {location}: the label {text!r} combines several classes, but an image "
                f"has one class. {_ADVICE.format('combination')}"
            )
    for text in counts:
        weak = _split_label(text, _WEAK_SEPARATORS)
        if len(set(weak)) > 1 and all(part in counts for part in weak):
            return [
                f"{location}: the label {text!r} is treated as a separate class, although "
                f"{' and '.join(weak)} are also classes; if it means several classes, set [data] "
                "labelled = false or use other labels"
            ]
    return []


def _reject_flags(counts: Counter[str], location: str) -> None:
    """Raise DataError if all labels are rows of flags such as ``1 0 0``, one for each class."""
    if counts and all(map(_FLAGS.fullmatch, counts)):
        raise DataError(
            f"[data] {location}: labels such as {next(iter(counts))!r} are rows with one flag for "
            "each class (one-hot); write the name or the index of the class instead. "
            f"{_ADVICE.format('row')}"
        )


def _split_label(text: str, separators: str) -> list[str]:
    """Return the classes in a label such as ``cat|dog`` or ``['cat', 'dog']``."""
    separator = next((s for s in separators if s in text), None)
    if separator is None:
        return [text]
    parts = [part.strip(" []()'\"") for part in text.split(separator)]
    return [part for part in parts if part]

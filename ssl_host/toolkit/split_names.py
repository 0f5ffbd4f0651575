"""Detect dataset splits (train, val, test) in the names of files and folders."""

from __future__ import annotations

import re
from typing import Literal

SplitWord = Literal["train", "val", "test"]

_WORDS: dict[str, SplitWord] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Words for the splits of a dataset."""

_MORE_WORDS: dict[str, SplitWord] = {**_WORDS, "trainval": "train", "eval": "val"}
_CONTENT = r"(?:set|data|dataset|split|images?|imgs?)"
_SPLIT = re.compile(rf"({'|'.join(_MORE_WORDS)}){_CONTENT}?\d*")
_FILLER = re.compile(rf"{_CONTENT}|\d*")
_SEPARATOR = re.compile(r"[-_.\s]+|(?<=[a-z])(?=[A-Z])")


def split_word(text: str) -> SplitWord | None:
    """Return the split that a word stands for (``val`` for ``Validation``), or None."""
    return _WORDS.get(text.strip().lower())


def split_words(name: str) -> tuple[list[SplitWord], str]:
    """Return the splits that a name mentions, and its other words.

    Words end at ``-``, ``_``, ``.``, spaces and capital letters: ``seg_train`` gives
    (["train"], "seg") and ``imagenet-val-0`` (["val"], "imagenet"). Numbers and words such as
    ``set`` and ``images`` are left out.
    """
    splits: list[SplitWord] = []
    others: list[str] = []
    for word in map(str.lower, _SEPARATOR.split(name)):
        found = _SPLIT.fullmatch(word)
        if found:
            splits.append(_MORE_WORDS[found[1]])
        elif not _FILLER.fullmatch(word):
            others.append(word)
    return splits, "_".join(others)

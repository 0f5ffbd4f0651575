"""What sources share whose images carry labels as people write them: text, numbers or none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ssl_host.contracts.data import DataSource, ImageDataset
from ssl_host.contracts.settings import Settings
from ssl_host.errors import DataError
from ssl_host.toolkit.image_files import FileImages, readable

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


@dataclass(frozen=True)
class Records:
    """What a source has found for a split.

    Attributes:
        images: N, without labels.
        labels: N values, text or whole numbers, None or empty text for an image that has none;
            None where nothing could be a label.
        classes: all names in their order, where the data say them; else the values, sorted.
        place: what messages call where all of this lies.
    """

    images: ImageDataset
    labels: Sequence[str | int | None] | None = None
    classes: Sequence[str] | None = None
    place: str = "the data"


class RecordSource(DataSource):
    """A source of photographs that says what it has found, and leaves the labels to the host.

    A subclass implements :meth:`records`. Its ``Config`` inherits from ``RecordSource.Config``,
    its ``setup()``, if it has one, calls this one's.
    """

    class Config(Settings):
        image_size: int = Field(96, ge=8, le=2048, description="side of a view in pixels")
        num_channels: Literal[1, 3] = Field(3, description="3 for colour, 1 for gray")
        labelled: bool | None = Field(
            None, description="whether labels are used; default: if there are any"
        )

    _classes: tuple[str, ...] | None = None
    _trained: Records | None = None

    def setup(self) -> None:
        self.channels = self.config.num_channels
        if self.channels == 1:
            self.mean, self.std = (0.5,), (0.25,)

    def records(self, held_out: bool) -> Records | None:
        """The images to train on, or those that the data set holds out, with their labels.

        Args:
            held_out: which of the two; None says that the host is to cut a part.

        Raises:
            DataError: when the data cannot be read at all, with file and line or row.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no records")

    def open(self, split: str) -> ImageDataset | None:
        if split == "probe" and self._classes == ():
            return None  # the training images are known to have no labels: not looked for again
        if split != "test":
            self._trained = self.records(held_out=False)
            images = self._numbered(self._trained, None)
            self._classes = () if images is None else images.classes
            return images
        found = self.records(held_out=True)
        if found is None:
            return None
        if self._trained is None:
            self.open("train")
        self._refuse_common(found)
        images = self._numbered(found, self._classes)
        # Images without labels measure nothing: where there are others, the host cuts a part.
        return None if images is None or (self._classes and images.labels is None) else images

    def _refuse_common(self, held_out: Records) -> None:
        # Images that are trained on and held out would make every figure too high. Sources of one
        # file an image tell the two apart by their paths; files of many may be given twice.
        assert self._trained is not None
        if isinstance(held_out.images, FileImages):
            return
        known = {place for _, place in _places(self._trained.images)}
        for name, place in _places(held_out.images):
            if place in known:
                raise DataError(
                    f"[data] {held_out.place}: {name} is held out, and is among the training "
                    f"images in {self._trained.place} too; leave it to one of the two"
                )

    def _numbered(
        self, found: Records | None, classes: tuple[str, ...] | None
    ) -> ImageDataset | None:
        if found is None:
            return None
        values = None if self.config.labelled is False or classes == () else _as_text(found.labels)
        missing = [] if values is None else [i for i, v in enumerate(values) if v in (None, "")]
        if values is None or len(missing) == len(values):
            if self.config.labelled and classes is None:
                raise DataError(f"[data] labelled = true, and there are no labels in {found.place}")
            return found.images
        if missing:
            raise DataError(
                f"[data] {found.place}: {len(missing)} of {len(values)} images have no label, the "
                f"first is {found.images.name(missing[0])}; label all of them or none, or set "
                "[data] labelled = false"
            )
        names = tuple(
            classes or _as_text(found.classes) or _sorted({str(value) for value in values})
        )
        found.images.labels, found.images.classes = _numbers(found, values, names), names
        return found.images

    @staticmethod
    def split_word(text: str) -> SplitWord | None:
        """Which split a word names, in any of the usual spellings: ``Validation`` is ``val``."""
        return _WORDS.get(text.strip().lower())

    @classmethod
    def split_files(cls, paths: Iterable[Path], root: Path) -> tuple[list[Path], list[Path]]:
        """Files to train on, and those held out, by the names of files and their folders.

        ``train-00000.x`` and ``train/00000.x`` are to train on, ``val...`` is held out or, where
        there is none, ``test...``. Without a name of a split anywhere, all are to train on.
        """
        found: dict[SplitWord | None, list[Path]] = {None: [], "train": [], "val": [], "test": []}
        for path in sorted(paths):
            within = path.relative_to(root)
            words = [re.split(r"[-_.]", within.name)[0], *reversed(within.parts[:-1])]
            found[next(filter(None, map(cls.split_word, words)), None)].append(path)
        return found["train"] or found[None], found["val"] or found["test"]


def _places(images: ImageDataset) -> Iterator[tuple[str, tuple[str, str]]]:
    """Of each image its name, the file it lies in and its place there, however they are written."""
    whole: dict[Path, str] = {}
    for i in range(len(images)):
        name, file = images.name(i), images.path(i)
        if file is not None:
            if file not in whole:
                whole[file] = os.path.realpath(file)
            yield name, (whole[file], name.partition(file.name)[2])


def _as_text(values: Sequence[str | int | None] | None) -> Any:
    """Names of folders that are no UTF-8 as text that can be written and shown."""
    return values and [readable(v) if isinstance(v, str) else v for v in values]


def _numbers(found: Records, values: Sequence[str | int | None], names: tuple[str, ...]) -> Tensor:
    """N, int64: the values' places among the names."""
    numbers = {name: i for i, name in enumerate(names)}
    strange = next((i for i, value in enumerate(values) if str(value) not in numbers), None)
    if strange is not None:
        raise DataError(
            f"[data] {found.place}: class {values[strange]} of {found.images.name(strange)} is not "
            f"among the training classes ({', '.join(names[:10])})"
        )
    return torch.tensor([numbers[str(value)] for value in values], dtype=torch.int64)


def _sorted(names: Iterable[str]) -> list[str]:
    """By value where all are whole numbers, else by text."""
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)

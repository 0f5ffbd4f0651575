"""Base class of data sources that store labels as text or integers."""

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
from ssl_host.toolkit.image_files import FileImages, escape_name

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
    """Record of the images in a split, with their labels as the source stores them.

    Attributes:
        images: dataset of the N images, without labels.
        labels: N labels as text or integers, with None or an empty string for an image without
            a label; None if the source has no labels at all.
        classes: all class names in order, if the source defines them; None to use the sorted
            labels.
        location: file or folder to name in error messages.
    """

    images: ImageDataset
    labels: Sequence[str | int | None] | None = None
    classes: Sequence[str] | None = None
    location: str = "the data"


class RecordSource(DataSource):
    """Base class of data sources that return labels as stored and let the host convert them.

    A subclass implements :meth:`records`. Its ``Config`` inherits from ``RecordSource.Config``,
    and its ``setup()``, if it has one, calls ``super().setup()``.
    """

    class Config(Settings):
        image_size: int = Field(96, ge=8, le=2048, description="side of a full-size view in pixels")
        num_channels: Literal[1, 3] = Field(
            3, description="number of image channels: 3 for colour, 1 for grayscale"
        )
        labelled: bool | None = Field(
            None,
            description="true: require labels; false: ignore labels; default: use labels "
            "if there are any",
        )

    _classes: tuple[str, ...] | None = None
    _train: Records | None = None

    def setup(self) -> None:
        self.channels = self.config.num_channels
        if self.channels == 1:
            self.mean, self.std = (0.5,), (0.25,)

    def records(self, held_out: bool) -> Records | None:
        """Return the training or the held-out images, with labels as the source stores them.

        Args:
            held_out: True for the held-out images. If the dataset has none, return None; the host
                then holds out a fraction of the training images.

        Raises:
            DataError: when the data cannot be read at all; the message should name the file and
                the line or row.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not implement records()")

    def open(self, split: str) -> ImageDataset | None:
        if split == "probe" and self._classes == ():
            return None  # the training images have no labels, so do not read them again
        if split != "test":
            self._train = self.records(held_out=False)
            images = self._labelled_images(self._train, None)
            self._classes = () if images is None else images.classes
            return images
        test = self.records(held_out=True)
        if test is None:
            return None
        if self._train is None:
            self.open("train")
        self._reject_overlap(test)
        images = self._labelled_images(test, self._classes)
        # A test split without labels is useless for evaluation: if the training images have labels,
        # let the host hold out some of them.
        return None if images is None or (self._classes and images.labels is None) else images

    def _reject_overlap(self, held_out: Records) -> None:
        """Raise DataError if a held-out image is also a training image."""
        # Training on held-out images would make every accuracy too high. Sources with one file per
        # image separate the splits by path, but a file with many images could be given for both.
        assert self._train is not None
        if isinstance(held_out.images, FileImages):
            return
        training = {key for _, key in _image_keys(self._train.images)}
        for name, key in _image_keys(held_out.images):
            if key in training:
                raise DataError(
                    f"[data] {held_out.location}: {name} is held out, but it is also among the "
                    f"training images in {self._train.location}; remove it from one of the two"
                )

    def _labelled_images(
        self, records: Records | None, classes: tuple[str, ...] | None
    ) -> ImageDataset | None:
        """Return the images in a split, with their labels converted to class indices.

        Args:
            records: the images with labels as stored, or None if there is no such split.
            classes: names of the training classes; None if these are the training images.
        """
        if records is None:
            return None
        ignored = self.config.labelled is False or classes == ()
        values = None if ignored else _escape_names(records.labels)
        missing = [] if values is None else [i for i, v in enumerate(values) if v in (None, "")]
        if values is None or len(missing) == len(values):
            if self.config.labelled and classes is None:
                raise DataError(
                    f"[data] labelled = true, but there are no labels in {records.location}"
                )
            return records.images
        if missing:
            raise DataError(
                f"[data] {records.location}: {len(missing)} of {len(values)} images have no label, "
                f"the first is {records.images.name(missing[0])}; label all of them or none, or "
                "set [data] labelled = false"
            )
        names = tuple(
            classes or _escape_names(records.classes) or _sorted_names({str(v) for v in values})
        )
        records.images.labels = _class_indices(records, values, names)
        records.images.classes = names
        return records.images

    @staticmethod
    def split_word(text: str) -> SplitWord | None:
        """Return the split that a word stands for (``val`` for ``Validation``), or None."""
        return _WORDS.get(text.strip().lower())

    @classmethod
    def split_files(cls, paths: Iterable[Path], root: Path) -> tuple[list[Path], list[Path]]:
        """Return (training files, held-out files), judging by the names of files and folders.

        ``train-00000.x`` and ``train/00000.x`` are training files. ``val...`` files are held out,
        or ``test...`` files if there are none. If no name contains a split, all files are training
        files.
        """
        files: dict[SplitWord | None, list[Path]] = {None: [], "train": [], "val": [], "test": []}
        for path in sorted(paths):
            relative = path.relative_to(root)
            words = [re.split(r"[-_.]", relative.name)[0], *reversed(relative.parts[:-1])]
            files[next(filter(None, map(cls.split_word, words)), None)].append(path)
        return files["train"] or files[None], files["val"] or files["test"]


def _image_keys(images: ImageDataset) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the name and a unique key of each image that is stored in a file; skip other images.

    The key is the real path of the file and the rest of the name after the path.
    """
    real_paths: dict[Path, str] = {}
    for i in range(len(images)):
        name, file = images.name(i), images.path(i)
        if file is not None:
            if file not in real_paths:
                real_paths[file] = os.path.realpath(file)
            yield name, (real_paths[file], name.partition(file.name)[2])


def _escape_names(values: Sequence[str | int | None] | None) -> Any:
    """Return labels or class names with invalid Unicode escaped, as for file names."""
    return values and [escape_name(v) if isinstance(v, str) else v for v in values]


def _class_indices(
    records: Records, values: Sequence[str | int | None], names: tuple[str, ...]
) -> Tensor:
    """Return the class index of each label, shape (N,), int64."""
    indices = {name: i for i, name in enumerate(names)}
    unknown = next((i for i, value in enumerate(values) if str(value) not in indices), None)
    if unknown is not None:
        raise DataError(
            f"[data] {records.location}: class {values[unknown]} of "
            f"{records.images.name(unknown)} is not among the training classes "
            f"({', '.join(names[:10])})"
        )
    return torch.tensor([indices[str(value)] for value in values], dtype=torch.int64)


def _sorted_names(names: Iterable[str]) -> list[str]:
    """Return class names sorted as numbers if all of them are integers, else as text."""
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)

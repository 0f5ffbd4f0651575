"""Base class of data sources that store labels as text or integers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from ssl_host.contracts.data import ArrayImages, DataSource, Fit, ImageDataset
from ssl_host.contracts.settings import Settings
from ssl_host.errors import DataError
from ssl_host.toolkit.image_files import FileImages
from ssl_host.toolkit.labels import (
    UnknownClassError,
    class_indices,
    class_labels,
    is_missing,
    label_texts,
    missing_word_notes,
)
from ssl_host.toolkit.split_names import SplitWord, split_word, split_words
from ssl_host.toolkit.unique_files import identify

_UNLABELLED_FOLDERS = {"unlabeled", "unlabelled", "-1", "nan"}
"""Lower-case names of folders with unlabelled images. Other words, such as none, may be classes."""


@dataclass(frozen=True)
class Records:
    """Images in a split, with their labels as the source stores them.

    Attributes:
        images: dataset of the N images, without labels.
        labels: N labels as text or numbers; None, NaN, -1, empty text and words such as "none" and
            "unlabeled" stand for an image without a label. None if the source has no labels at all.
        classes: all class names in order, if the source defines them; None to use the sorted
            labels.
        location: file or folder to name in error messages.
        notes: remarks about the images for the log and the report.
        label_name: name of the labels in the source, such as the name of a column; numbers with a
            name such as ``age`` are not treated as classes.
    """

    images: ImageDataset
    labels: Sequence[str | float | None] | None = None
    classes: Sequence[str] | None = None
    location: str = "the data"
    notes: Sequence[str] = ()
    label_name: str = ""


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
            description="true: require labels, and also treat numbers, combinations of classes "
            "and words such as none as class names; false: ignore labels; default: use labels if "
            "there are any",
        )

        fit: Fit = Field(
            "crop",
            description="how images are made square: crop keeps the centre, squash changes the "
            "proportions, pad adds black bars; with [loader] store = files, random crops of "
            "training images come from the whole image, which squash or pad makes square first",
        )
        value_range: tuple[float, float] | None = Field(
            None,
            description="pixel values that become black and white, such as 0, 4095 for 12-bit "
            "images in 16-bit files; default: the full range of the file's type",
        )

        @field_validator("value_range")
        @classmethod
        def _is_a_range(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
            if value is not None and value[0] >= value[1]:
                raise ValueError("should be two numbers, the smaller one first")
            return value

    _classes: tuple[str, ...] | None = None
    _train: Records | None = None

    def setup(self) -> None:
        self.channels = self.config.num_channels
        if self.channels == 1:
            self.mean, self.std = (0.5,), (0.25,)

    def records(self, held_out: bool) -> Records | None:
        """Return the training or the held-out images, with labels as the source stores them.

        Args:
            held_out: True for the held-out images.

        Returns:
            The images and their labels; None if the dataset has no held-out images, in which case
            the host holds out a fraction of the training images.

        Raises:
            DataError: when the data cannot be read at all; the message should name the file and
                the line or row.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not implement records()")

    def open(self, split: str) -> ImageDataset | None:
        if split == "probe" and self._classes == ():
            return None  # the training images have no labels, so do not read them again
        if split != "test":
            self._train = self._records(held_out=False)
            images = self._labelled_images(self._train, None)
            self._classes = () if images is None else images.classes
            return images
        test = self._records(held_out=True)
        if test is None:
            return None
        if self._train is None:
            self.open("train")
        self._reject_overlap(test)
        images = self._labelled_images(test, self._classes)
        if images is not None and self._classes and images.labels is None:
            # Useless for evaluation; the host holds out some training images instead.
            self._add_notes(
                [
                    f"{test.location}: the {len(images)} held-out images have no labels, so they "
                    "are not used"
                ]
            )
            return None
        return images

    def _records(self, held_out: bool) -> Records | None:
        """Return the images of a split, or None, and add remarks about them to the notes."""
        records = self.records(held_out)
        if records is not None:
            images, config = records.images, self.config
            if isinstance(images, ArrayImages) and (config.fit != "crop" or config.value_range):
                raise DataError(
                    "[data] fit and value_range have no effect on images in memory; remove them"
                )
            images.fit, images.value_range = config.fit, config.value_range
            self._add_notes(records.notes)
        return records

    def _add_notes(self, notes: Iterable[str]) -> None:
        """Add remarks for the log and the report, without duplicates."""
        self.notes = tuple(dict.fromkeys([*self.notes, *notes]))

    def _reject_overlap(self, held_out: Records) -> None:
        """Raise DataError if a held-out image is also a training image."""
        # Training on held-out images would make every accuracy too high.
        assert self._train is not None
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
            records: the images with labels as stored; None returns None.
            classes: names of the training classes; None if these are the training images.
        """
        if records is None:
            return None
        images, location = records.images, records.location
        values = None if self.config.labelled is False else records.labels
        accept_all = bool(self.config.labelled)
        texts = [] if values is None else label_texts(values)
        known = records.classes or classes or ()
        if not accept_all:
            self._add_notes(missing_word_notes(texts, known, location))
        if all(is_missing(text, accept_all) and text not in known for text in set(texts)):
            if self.config.labelled and classes is None:
                raise DataError(f"[data] labelled = true, but there are no labels in {location}")
            return images
        if classes == ():
            self._add_notes(
                [f"{location}: its labels are not used, because the training images have none"]
            )
            return images
        try:
            if classes is None:
                labels, classes, notes = class_labels(
                    texts, records.classes, location, accept_all, records.label_name
                )
                self._add_notes(notes)
            else:
                labels = class_indices(texts, classes, accept_all)
        except UnknownClassError as error:
            names = ", ".join(known[:10])
            raise DataError(
                f"[data] {location}: class {error.label} of {images.name(error.position)} is not "
                f"among the training classes ({names})"
            ) from None
        images.labels, images.classes = labels, classes
        return images

    @staticmethod
    def is_unlabelled_folder(name: str) -> bool:
        """Return True if the name of a folder stands for images without a label."""
        return name.strip().lower() in _UNLABELLED_FOLDERS

    @staticmethod
    def split_word(text: str) -> SplitWord | None:
        """Return the split that a word stands for (``val`` for ``Validation``), or None."""
        return split_word(text)

    @staticmethod
    def split_words(name: str) -> tuple[list[SplitWord], str]:
        """Return the splits that the name of a file or folder mentions, and its other words.

        ``seg_train`` gives (["train"], "seg") and ``imagenet-val-0.tar`` (["val"], "imagenet_tar").
        """
        return split_words(name)

    @classmethod
    def split_files(cls, paths: Iterable[Path], root: Path) -> tuple[list[Path], list[Path]]:
        """Return (training files, held-out files), judging by the names of files and folders.

        ``train-00000.x``, ``imagenet-train-0.x`` and ``train/00000.x`` are training files.
        ``val...`` files are held out, or ``test...`` files if there are none. If no name contains
        a split, all files are training files.

        Raises:
            DataError: if a name contains both a training and a held-out split.
        """
        files: dict[SplitWord | None, list[Path]] = {None: [], "train": [], "val": [], "test": []}
        for path in sorted(paths):
            files[_split_of_file(path, root)].append(path)
        return files["train"] or files[None], files["val"] or files["test"]

    @classmethod
    def pattern_notes(cls, pattern: Path, paths: Iterable[Path]) -> list[str]:
        """Return a note if a pattern of training files includes files of a held-out split."""
        names = [path.name for path in paths]
        held_out = [n for n in names if {"val", "test"}.intersection(cls.split_words(n)[0])]
        if not held_out:
            return []
        return [
            f"{pattern}: {held_out[0]} is among the training files, because the pattern includes "
            "it; to hold this file out, leave it out of the pattern and set [data] test"
        ]


def _split_of_file(path: Path, root: Path) -> SplitWord | None:
    """Return the split named by a file or, failing that, by the nearest folder above it.

    Return None if no name contains a split.

    Raises:
        DataError: if a name contains both a training and a held-out split.
    """
    for part in reversed(path.relative_to(root).parts):
        splits, _ = split_words(part)
        if "train" in splits and len(set(splits)) > 1:
            raise DataError(
                f"[data] {path}: the name {part} contains the splits {', '.join(splits)}, so it "
                "may be for training or held out; rename it to contain only one of them, or select "
                "the files with a pattern"
            )
        if splits:
            return splits[0]
    return None


def _image_keys(images: ImageDataset) -> Iterator[tuple[str, tuple[Hashable, str]]]:
    """Yield the name and a unique key of each image that is stored in a file.

    The key is the identity of the file, which all links to it share, and the part of the name after
    the file name.
    """
    files: dict[str | Path, Hashable] = {}
    keeps_files = not isinstance(images, FileImages)  # many images in each file
    for i in range(len(images)):
        name, file = images.name(i), images.path(i)
        if file is None:
            continue
        key = files.get(file) or identify(file) or str(file)
        if keeps_files:
            files[file] = key
        yield name, (key, name.partition(Path(file).name)[2] if keeps_files else "")

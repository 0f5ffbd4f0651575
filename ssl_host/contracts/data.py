"""Base classes of data sources and image datasets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ssl_host.contracts.component import Component

Split = Literal["train", "probe", "test"]
Fit = Literal["crop", "squash", "pad"]
"""How images are made square: cut off the ends, change the proportions, or add black bars."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class UnreadableImage(Exception):  # noqa: N818 - the image is skipped, nothing fails
    """Raised when an image cannot be read; the host skips the image and reports it.

    Args:
        reason: why the image cannot be read, in a few words.
        transient: True if a later run may be able to read the image, for example because a disk
            error was the cause.
    """

    def __init__(self, reason: str, transient: bool = False) -> None:
        super().__init__(reason)
        self.transient = transient


@dataclass(frozen=True, order=True)
class MissingImage:
    """Unreadable image that was left out when its dataset was packed.

    Attributes:
        index: index of the image in the original dataset.
        label: class index of the image; None if the dataset has no labels.
        name: name of the image, for messages.
        reason: why the image could not be read, in a few words.
    """

    index: int
    label: int | None
    name: str
    reason: str


@dataclass(frozen=True)
class ImageHeader:
    """Size of an image, which is known without decoding it in most file formats.

    Attributes:
        height: height in pixels of the image as :meth:`ImageDataset.read` returns it.
        width: its width.
        orientation: orientation in the EXIF data, from 1 to 8, according to which the image is
            rotated or mirrored when it is read; 1 leaves it as it is.
    """

    height: int
    width: int
    orientation: int = 1


class ImageDataset(ABC):
    """Base class of image datasets; images are read by index, and labels are optional.

    Attributes:
        labels: class indices from 0, shape (N,), int64, with -1 for an image without a label;
            None if no image has a label.
        classes: class names in the order of the class indices; empty if there are no labels.
        image_size: side of the square images that :meth:`read_many` returns, in pixels; None if
            the dataset does not implement that method.
        missing: records of images that were left out when the dataset was packed. The host lists
            them among the unreadable images and draws a held-out split as if they were present.
        fit: how the host makes the images square.
        value_range: stored pixel values of black and white; None for the range of the file type.
        slow_hint: advice for the case that reading these images slows down training, as the end
            of a sentence; empty for the host's default advice.
    """

    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    image_size: int | None = None
    missing: Sequence[MissingImage] = ()
    fit: Fit = "crop"
    value_range: tuple[float, float] | None = None
    slow_hint: str = ""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, i: int) -> Tensor:
        """Return image ``i`` as a uint8 tensor (C, H, W) of any size.

        Raises:
            UnreadableImage: when the image cannot be read.
        """

    def read_many(self, indices: Tensor) -> Tensor:
        """Return the images at the given indices as a uint8 tensor (B, C, S, S).

        S is :attr:`image_size`. Implement this method if the dataset can decode a batch faster
        than the host decodes the images one by one. The host calls it in a background thread
        while the previous step is running.

        Raises:
            DataError: when an image cannot be read. This is always an error, because unreadable
                images are left out when such a dataset is packed.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} sets image_size, but does not implement read_many()"
        )

    def header(self, i: int) -> ImageHeader:
        """Return the size of image ``i``, by default that of the decoded image.

        Raises:
            UnreadableImage: when the image cannot be read.
        """
        _, height, width = self.read(i).shape
        return ImageHeader(height, width)

    def name(self, i: int) -> str:
        """Return the name of image ``i`` for messages, such as its path, or its shard and key."""
        return f"image {i}"

    def path(self, i: int) -> str | Path | None:
        """Return the path of the file that contains image ``i``; None if there is no file.

        The path and the :meth:`name` together identify the image. The host packs the dataset again
        when the size or the modification time of the file has changed.
        """
        return None


class ArrayImages(ImageDataset):
    """Dataset of equally sized images in one tensor, in memory or memory-mapped.

    Args:
        images: the images, shape (N, C, H, W), uint8.
        labels: class indices, shape (N,), int64; None if there are no labels.
        classes: class names in the order of the class indices; by default the indices as text.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, classes: tuple[str, ...] = ()
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(
                f"ArrayImages expects uint8 images of shape (N, C, H, W), not {images.dtype} "
                f"of shape {tuple(images.shape)}"
            )
        self.images = images
        self.labels = labels
        if labels is not None and not classes:
            classes = tuple(str(k) for k in range(int(labels.max()) + 1 if len(labels) else 0))
        self.classes = classes

    def __len__(self) -> int:
        return len(self.images)

    def read(self, i: int) -> Tensor:
        return self.images[i]


class DataSource(Component):
    """Base class of data sources, which open the splits of a dataset.

    There are three splits: ``train`` for pretraining (labels are optional), ``probe`` with labelled
    images for training classifiers in the evaluators (usually the same as ``train``), and ``test``
    with held-out images. If a source returns None for ``test``, the host holds out a fraction of
    ``probe`` and says so in the report.
    """

    kind: ClassVar[str] = "data"
    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Default settings for these images, such as an augmentation without flips, keyed by INI
    section. They take precedence over the method's recipe."""

    channels: int = 3
    """Number of channels of the images."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Mean of each channel, for pixel values from 0 to 1."""
    std: tuple[float, ...] = IMAGENET_STD
    """Standard deviation of each channel, for pixel values from 0 to 1."""
    excluded: Sequence[Path] = ()
    """Folders that the run writes to, set by the host; a source that lists folders skips them."""
    progress: Callable[[int], None] | None = None
    """Function to call with the number of images listed so far, set by the host."""
    notes: tuple[str, ...] = ()
    """Remarks about the images for the log and the report; :meth:`open` may add some."""

    @classmethod
    def settings_for_path(cls, path: Path) -> Mapping[str, Any] | None:
        """Return settings with which this source reads a file or folder, or None if it cannot.

        :func:`ssl_host.find_source` asks every installed source. Decide by names: opening files
        would be slow on a network disk. By default no path is claimed.

        Args:
            path: path of a folder or a file, or a pattern such as ``train-{000..003}.tar``.
        """
        return None

    @property
    def image_size(self) -> int:
        """Return the side of a full-size view in pixels, by default the setting ``image_size``."""
        return int(self.config.image_size)

    def open(self, split: Split) -> ImageDataset | None:
        """Return the dataset of a split, or None if the source does not have this split.

        Raises:
            DataError: when the source cannot be read at all.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not implement open()")

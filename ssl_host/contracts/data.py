"""Base classes of data sources and image datasets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ssl_host.contracts.component import Component

Split = Literal["train", "probe", "test"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class UnreadableImage(Exception):  # noqa: N818 - the image is skipped, nothing fails
    """Raised by :meth:`ImageDataset.read` for an image to be skipped, counted and listed.

    Args:
        reason: what is wrong with it, in a few words.
        transient: True if a later run may be able to read it, for example after a disk error.
    """

    def __init__(self, reason: str, transient: bool = False) -> None:
        super().__init__(reason)
        self.transient = transient


@dataclass(frozen=True, order=True)
class MissingImage:
    """Image of the original dataset that could not be read when it was packed.

    Attributes:
        index: index in the original dataset.
        label: class index, or None.
        name: name of the image in messages.
        reason: what was wrong with it, in a few words.
    """

    index: int
    label: int | None
    name: str
    reason: str


class ImageDataset(ABC):
    """Sequence of images, optionally with labels.

    Attributes:
        labels: N, int64, from 0, or None.
        classes: class names in the order of the labels; empty without labels.
        image_size: side in pixels if :meth:`read_many` returns all images in one size, else None.
        missing: images of the original dataset that packing left out. They are listed with the
            unreadable images, and a held-out split is drawn as if they were present.
        slow_hint: settings to change if reading these images is the bottleneck, as the end of a
            sentence; empty for the host's default hint.
    """

    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    image_size: int | None = None
    missing: Sequence[MissingImage] = ()
    slow_hint: str = ""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, i: int) -> Tensor:
        """Return image ``i``, uint8 C H W, of any size.

        Raises:
            UnreadableImage: with the reason, in a few words.
        """

    def read_many(self, indices: Tensor) -> Tensor:
        """Return the images at some indices, uint8 B C S S with S = :attr:`image_size`.

        For datasets that decode a batch faster than the host would image by image. The host calls
        it in a separate thread while the previous step is computed.

        Raises:
            DataError: when an image cannot be read; such datasets are packed from readable images.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has an image_size, but no read_many")

    def name(self, i: int) -> str:
        """Return the name of image ``i`` in messages: a path, a shard and a key, or an index."""
        return f"image {i}"

    def path(self, i: int) -> Path | None:
        """Return the file that image ``i`` is read from, or None.

        Together with :meth:`name` it identifies the image: the host packs the dataset again if
        size or modification time of the file have changed.
        """
        return None


class ArrayImages(ImageDataset):
    """Images of one size in a tensor, in memory or memory-mapped.

    Args:
        images: N C H W, uint8.
        labels: N, int64, or None.
        classes: class names in the order of the labels; by default the numbers.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, classes: tuple[str, ...] = ()
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(
                f"ArrayImages expects uint8 images N C H W, not {images.dtype} "
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
    """Opens the splits of a dataset.

    Splits: ``train`` for pretraining (labels are optional), ``probe`` with labelled images for
    training the evaluators (usually the same as ``train``), ``test`` with held-out images. If a
    source returns None for ``test``, the host holds out a fraction of ``probe`` and reports it.
    """

    kind: ClassVar[str] = "data"
    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Default settings for these images, by INI section, such as an augmentation without flips.
    They take precedence over the method's recipe."""

    channels: int = 3
    """Number of channels of the images."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Mean of each channel, on a scale from 0 to 1."""
    std: tuple[float, ...] = IMAGENET_STD
    """Standard deviation of each channel, on a scale from 0 to 1."""

    @property
    def image_size(self) -> int:
        """Return the side of a full-size view in pixels; by default setting ``image_size``."""
        return int(self.config.image_size)

    def open(self, split: Split) -> ImageDataset | None:
        """Return the images of a split, or None if the source does not have it.

        Raises:
            DataError: when the source cannot be read at all.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no open")

"""Where images come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings

Split = Literal["train", "probe", "test"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class UnreadableImage(Exception):  # noqa: N818 - the image is skipped, nothing fails
    """Raised by :meth:`ImageDataset.read`. The image is skipped, counted and listed.

    Args:
        reason: in a few words.
        transient: whether it may be readable another time, as after a fault of the disk: later runs
            try again.
    """

    def __init__(self, reason: str, transient: bool = False) -> None:
        super().__init__(reason)
        self.transient = transient


@dataclass(frozen=True, order=True)
class MissingImage:
    """An image of the set that a packed one was made of, which could not be read then.

    Attributes:
        index: its number in that set.
        label: its class, or None.
        reason: what was wrong with it, in a few words.
    """

    index: int
    label: int | None
    name: str
    reason: str


class ImageDataset(ABC):
    """A sequence of images with, perhaps, labels.

    Attributes:
        labels: N, int64, from 0, or None.
        classes: the classes' names, in the order of the labels; empty without labels.
        image_size: of all images, where :meth:`read_many` gives them in that one size; else None.
        missing: images that are missing among these since they were packed. They are listed with
            those that cannot be read, and a part that is held out is cut as if they were there.
        slow_hint: half a sentence for who waits for these images: which settings to change. Empty
            for the host's own.
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
        """Image ``i``, uint8 C H W, of any size.

        Raises:
            UnreadableImage: with the reason, in a few words.
        """

    def read_many(self, indices: Tensor) -> Tensor:
        """Images by their numbers, uint8 B C S S with S = :attr:`image_size`.

        For sets that decode a batch faster than the host would image by image. It is called from
        a thread of its own, while the step before is computed.

        Raises:
            DataError: when one cannot be read; such sets are packed from readable images.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has an image_size, but no read_many")

    def name(self, i: int) -> str:
        """How messages call image ``i``: a path, a shard and a key, or a number."""
        return f"image {i}"

    def path(self, i: int) -> Path | None:
        """The file that image ``i`` is read from, or None.

        Together with :meth:`name` it tells images apart: what the host has packed is packed anew
        where the file's size or time has changed.
        """
        return None


class ArrayImages(ImageDataset):
    """Images that are in memory (or memory-mapped) already, all of one size.

    Args:
        images: N C H W, uint8.
        labels: N, or None.
        classes: names in the order of the labels; numbers are made up where it is empty.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, classes: tuple[str, ...] = ()
    ) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(
                f"ArrayImages takes uint8 images N C H W, not {images.dtype} "
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
    """Opens the splits of one data set.

    Splits: ``train`` is what pretraining sees (labels optional), ``probe`` the labelled images
    that evaluators learn from (by default the same as ``train``), ``test`` what is held out. A
    source without ``test`` returns None for it; the host then cuts one and says so.
    """

    kind: ClassVar[str] = "data"
    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What suits these images, by INI section, such as an augmentation without flips. It stands
    over the method's recipe."""

    channels: int = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __init__(self, config: Settings) -> None:
        self.config: Any = config
        self.setup()

    @property
    def image_size(self) -> int:
        """Side of a full-size view in pixels. By default the setting ``image_size``."""
        return int(self.config.image_size)

    def open(self, split: Split) -> ImageDataset | None:
        """The images of a split, or None where the source has no such split.

        Raises:
            DataError: when the source cannot be read at all.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no open")

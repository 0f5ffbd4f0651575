"""Stores of decoded images in one uint8 array, from which batches are indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ssl_host.contracts.data import ArrayImages, ImageDataset
from ssl_host.data.packed_cache import Skipped, find_or_pack
from ssl_host.data.splits import Subset
from ssl_host.errors import DataError


class PixelArray(Protocol):
    """Images N C S S, uint8: a tensor, or an object that decodes images when indexed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class ImageStore:
    """Images of one size with labels and names, ready for indexing.

    Attributes:
        images: N C S S, uint8, in memory or memory-mapped; or decoded when indexed.
        labels: N, int64, or None.
        indices: N, each image's index in the original data set.
        skipped: images that could not be read when they were packed.
        name: returns the name of an image of the original data set for messages.
        on_disk: True if indexing reads a file.
    """

    images: PixelArray
    labels: Tensor | None
    indices: Tensor
    skipped: tuple[Skipped, ...] = ()
    name: Callable[[int], str] = "image {}".format
    on_disk: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def image_name(self, i: int) -> str:
        """Return the name of image ``i`` of the store for messages."""
        return self.name(int(self.indices[i]))

    def names(self) -> Iterator[str]:
        """Yield the names of the images in order."""
        return map(self.name, self.indices.tolist())

    def unreadable(self) -> list[Skipped]:
        """Return the images that could not be read so far, with reasons."""
        reasons: dict[int, str] = getattr(self.images, "unreadable", {})
        return [*self.skipped, *((self.name(i), reason) for i, reason in sorted(reasons.items()))]


def array_of(images: ImageDataset) -> Tensor | None:
    """Return the array N C H W of a data set that has one, else None."""
    if isinstance(images, ArrayImages):
        return images.images
    if isinstance(images, Subset):
        array = array_of(images.dataset)
        return None if array is None else array[images.indices]
    return None


def packed_bytes(images: ImageDataset, channels: int, size: int) -> int:
    """Return the size of a packed store of these images, in bytes."""
    return len(images) * channels * size * size


def pack(
    images: ImageDataset,
    channels: int,
    size: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> ImageStore:
    """Decode the images once, short side resized to ``size``, centre-cropped, and cache them.

    Args:
        images: data set to decode.
        size: side in pixels of the store's images.
        cache: folder for the memory-mapped array.
        progress: called with images done and images in total.

    Raises:
        DataError: if no image can be read.
    """
    array = array_of(images)
    if array is not None:
        return ImageStore(array, images.labels, torch.arange(len(array)), (), images.name)
    packed, index = find_or_pack(images, (channels, size, size), cache, progress)
    if not index.indices:
        raise DataError(no_readable_images_message(index.skipped))
    indices = torch.tensor(index.indices, dtype=torch.int64)
    labels = None if images.labels is None else images.labels[indices]
    rows, skipped = packed[: len(indices)], tuple(index.skipped)
    return ImageStore(rows, labels, indices, skipped, images.name, on_disk=True)


def no_readable_images_message(skipped: Sequence[Skipped]) -> str:
    """Return the message for a data set without a readable image."""
    examples = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return f"[data] none of {len(skipped)} images could be read: {examples}{more}"

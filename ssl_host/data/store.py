"""Image stores, which are indexed like an array: in memory, on disk or decoded on demand."""

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
    """Array of uint8 images (N, C, S, S): a tensor, or an object that decodes on demand."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...


class SelectedImages:
    """View of some rows of another image array, without a copy."""

    def __init__(self, images: PixelArray, rows: Tensor) -> None:
        self.images = images
        self.rows = rows

    @property
    def unreadable(self) -> dict[int, str]:
        """Reason for each row that was found unreadable so far."""
        reasons: dict[int, str] = getattr(self.images, "unreadable", {})
        rows = {int(row): i for i, row in enumerate(self.rows)} if reasons else {}
        return {rows[row]: reason for row, reason in reasons.items() if row in rows}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        return self.images[self.rows[index]]


@dataclass(frozen=True)
class ImageStore:
    """Images in a split, all of one size, with their labels and the dataset they come from.

    Attributes:
        images: uint8 array (N, C, S, S), in memory, memory-mapped, or decoded when indexed.
        labels: class indices, shape (N,), int64, -1 without a label; None if there are no labels.
        indices: index of each image in the original dataset, shape (N,).
        dataset: the original dataset, which has the names, files and sizes of the images.
        skipped: (name, reason) for each image that could not be read during packing.
        on_disk: True if indexing the images reads from a packed file.
    """

    images: PixelArray
    labels: Tensor | None
    indices: Tensor
    dataset: ImageDataset
    skipped: tuple[Skipped, ...] = ()
    on_disk: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def image_name(self, i: int) -> str:
        """Return the name of image ``i`` in the store, for messages."""
        return self.dataset.name(int(self.indices[i]))

    def names(self) -> Iterator[str]:
        """Yield the names of the images in the store, in order."""
        return map(self.dataset.name, self.indices.tolist())

    def originals(self) -> ImageDataset:
        """Return the images of the store as the data source opened them, in the store's order."""
        return Subset(self.dataset, self.indices)

    def unreadable(self) -> list[Skipped]:
        """Return (name, reason) for each image found unreadable so far."""
        reasons: dict[int, str] = getattr(self.images, "unreadable", {})
        found = ((self.dataset.name(i), reason) for i, reason in sorted(reasons.items()))
        return [*self.skipped, *found]


def underlying_array(images: ImageDataset) -> Tensor | None:
    """Return the full tensor that a dataset or subset reads from; None if it is not a tensor."""
    while isinstance(images, Subset):
        images = images.dataset
    return images.images if isinstance(images, ArrayImages) else None


def array_of(images: ImageDataset) -> Tensor | None:
    """Return a dataset's images as a tensor (N, C, H, W), or None if they are not in a tensor."""
    if isinstance(images, ArrayImages):
        return images.images
    if isinstance(images, Subset):
        array = array_of(images.dataset)
        return None if array is None else array[images.indices]
    return None


def packed_bytes(images: ImageDataset, channels: int, size: int) -> int:
    """Return the size in bytes that a packed store of these images would have."""
    return len(images) * channels * size * size


def pack(
    images: ImageDataset,
    channels: int,
    size: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> ImageStore:
    """Return a store of images that are made square, resized to ``size`` and cached on disk.

    If a dataset already has its images in a tensor, that tensor is used unchanged.

    Args:
        images: dataset to pack.
        channels: number of channels of the images.
        size: side of the packed images in pixels.
        cache: folder for the memory-mapped array.
        progress: function to call with the number of images done and the total number of images.

    Raises:
        DataError: if no image can be read.
    """
    array = array_of(images)
    if array is not None:
        return ImageStore(array, images.labels, torch.arange(len(array)), images)
    packed, index = find_or_pack(images, (channels, size, size), cache, progress)
    if not index.indices:
        raise DataError(no_readable_images_message(index.skipped))
    indices = torch.tensor(index.indices, dtype=torch.int64)
    labels = None if images.labels is None else images.labels[indices]
    rows, skipped = packed[: len(indices)], tuple(index.skipped)
    return ImageStore(rows, labels, indices, images, skipped, on_disk=True)


def no_readable_images_message(skipped: Sequence[Skipped]) -> str:
    """Return the error message for a dataset in which no image is readable."""
    examples = "; ".join(f"{name} ({reason})" for name, reason in skipped[:3])
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return f"[data] none of {len(skipped)} images could be read: {examples}{more}"

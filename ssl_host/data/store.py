"""Decoded images in one uint8 array: an epoch is then index, copy, augment."""

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
    """Images N C S S, uint8: a tensor, or something that decodes what is indexed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class ImageStore:
    """Images of one size, ready to index.

    Attributes:
        images: N C S S, uint8, in memory or memory-mapped; or decoded when indexed.
        labels: N, int64, or None.
        kept: N, each image's number in the set it came from.
        skipped: what could not be read when it was packed.
        name: what messages call an image of the original set.
        on_disk: whether indexing reads a file.
    """

    images: PixelArray
    labels: Tensor | None
    kept: Tensor
    skipped: tuple[Skipped, ...] = ()
    name: Callable[[int], str] = "image {}".format
    on_disk: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def image_name(self, i: int) -> str:
        """What messages call image ``i`` of the store."""
        return self.name(int(self.kept[i]))

    def names(self) -> Iterator[str]:
        """What messages call the images, in order."""
        return map(self.name, self.kept.tolist())

    def faults(self) -> list[Skipped]:
        """Everything that could not be read so far, with the reason."""
        found: dict[int, str] = getattr(self.images, "unreadable", {})
        return [*self.skipped, *((self.name(i), reason) for i, reason in sorted(found.items()))]


def array_of(images: ImageDataset) -> Tensor | None:
    """The array behind a set that has one, N C H W, or None."""
    if isinstance(images, ArrayImages):
        return images.images
    if isinstance(images, Subset):
        whole = array_of(images.whole)
        return None if whole is None else whole[images.chosen]
    return None


def packed_bytes(images: ImageDataset, channels: int, size: int) -> int:
    """What a store of these images takes."""
    return len(images) * channels * size * size


def pack(
    images: ImageDataset,
    channels: int,
    size: int,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> ImageStore:
    """Decode a set once, the short side to ``size``, centre-cropped; later runs find it again.

    Args:
        images: what to decode.
        size: side in pixels of the store's images.
        cache: folder for the memory-mapped array.
        progress: called with images done and in all.

    Raises:
        DataError: when nothing is readable.
    """
    found = array_of(images)
    if found is not None:
        return ImageStore(found, images.labels, torch.arange(len(found)), (), images.name)
    packed, listing = find_or_pack(images, (channels, size, size), cache, progress)
    if not listing.kept:
        raise DataError(no_readable_images_message(listing.skipped))
    kept = torch.tensor(listing.kept, dtype=torch.int64)
    labels = None if images.labels is None else images.labels[kept]
    rows, skipped = packed[: len(kept)], tuple(listing.skipped)
    return ImageStore(rows, labels, kept, skipped, images.name, on_disk=True)


def no_readable_images_message(skipped: Sequence[Skipped]) -> str:
    """The message for a set of which no image could be read."""
    first = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
    more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return f"[data] none of {len(skipped)} images could be read: {first}{more}"

"""Read images and compute what the description of a data set needs: size, brightness, digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ssl_host import ImageDataset, UnreadableImage, available_cores, evenly_spaced_indices

CHUNK = 256
"""Number of images that are handed to the threads at once, so that few are in memory."""
GRAY_TOLERANCE = 4
"""Largest difference between the channels of a gray pixel, because JPEG shifts them a little."""
SAMPLED_SIDE = 256
"""Largest number of rows and columns from which brightness and contrast are computed."""
DEPTHS = {"1": 1, "I": 32, "F": 32, "I;16": 16, "I;16B": 16, "I;16L": 16, "I;16N": 16}
"""Bits per channel of Pillow's modes with other than 8 bits."""


@dataclass(frozen=True)
class ImageStatistics:
    """Properties of one image.

    Attributes:
        index: index of the image in its data set.
        height: height in pixels, upright; ``width`` is the width.
        brightness: mean of all pixel values, from 0 (black) to 255 (white).
        contrast: standard deviation of the pixel values of the channel that varies most, from 0
            to 127.5.
        is_gray: True if all channels are nearly equal.
        digest: hash of the shape and the pixels; identical images have the same digest.
        bits: bits per channel in the image file; None if the image is not a file of its own.
        is_transparent: True if the file has transparent pixels, which become white.
        error: reason why the image cannot be read; None if it can.
    """

    index: int
    height: int = 0
    width: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    is_gray: bool = True
    digest: str = ""
    bits: int | None = None
    is_transparent: bool = False
    error: str | None = None


def read_statistics(
    images: ImageDataset, limit: int, progress: Callable[[int], None]
) -> Iterator[ImageStatistics]:
    """Yield the statistics of at most ``limit`` evenly spaced images, in order of their index.

    Args:
        images: the data set.
        limit: largest number of images to read.
        progress: function that is called with the number of images read since the last call.
    """
    indices = evenly_spaced_indices(len(images), limit).tolist()
    with ThreadPoolExecutor(available_cores()) as threads:
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK]
            yield from threads.map(lambda i: image_statistics(images, i), chunk)
            progress(len(chunk))


def image_statistics(images: ImageDataset, index: int) -> ImageStatistics:
    """Return the statistics of one image; only the error if the image cannot be read."""
    try:
        pixels = images.read(index)
    except UnreadableImage as error:
        return ImageStatistics(index, error=str(error))
    height, width = pixels.shape[1:]
    step = -(-max(height, width) // SAMPLED_SIDE)
    values = pixels[:, ::step, ::step].float()
    bits, is_transparent = _file_properties(images.path(index))
    return ImageStatistics(
        index,
        height,
        width,
        brightness=float(values.mean()),
        contrast=float(values.flatten(1).std(dim=1, correction=0).max()),
        is_gray=_is_gray(pixels),
        digest=_digest(pixels),
        bits=bits,
        is_transparent=is_transparent,
    )


def _is_gray(pixels: Tensor) -> bool:
    """Return True if the channels of an image (C, H, W) differ by no more than JPEG causes."""
    if all(torch.equal(channel, pixels[0]) for channel in pixels[1:]):
        return True
    values = pixels.to(torch.int16)
    return int((values.amax(0) - values.amin(0)).max()) <= GRAY_TOLERANCE


def _digest(pixels: Tensor) -> str:
    """Return a hash of the shape and the values of an image."""
    content = pixels.contiguous().numpy()
    return hashlib.blake2b(content.tobytes(), digest_size=16, salt=_salt(content.shape)).hexdigest()


def _salt(shape: tuple[int, ...]) -> bytes:
    """Return up to 16 bytes that differ between the shapes of images with equally many pixels."""
    return hashlib.blake2b(repr(shape).encode(), digest_size=16).digest()


def _file_properties(path: str | Path | None) -> tuple[int | None, bool]:
    """Return the bits per channel in an image file, or None, and if it has transparent pixels."""
    if path is None:
        return None, False
    try:
        with Image.open(path) as image:
            bits = DEPTHS.get(image.mode, 8)
            if not image.has_transparency_data:
                return bits, False
            low, _ = image.convert("RGBA").getchannel("A").getextrema()
            return bits, isinstance(low, int) and low < 255
    except (OSError, Image.DecompressionBombError):
        return None, False  # a shard or table with many images

"""Make images square by cropping, squashing or padding them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ssl_host.contracts.data import Fit

PHOTO_MARGIN = 8 / 7
"""Side of packed images divided by the side of a view: 256 pixels for a 224-pixel view."""

MAX_ASPECT = 8
"""Largest aspect ratio; longer images are cropped to it before they are resized."""


def resize_to_square(image: Tensor, size: int, fit: Fit = "crop") -> Tensor:
    """Return a uint8 image (C, H, W) as a square with the side ``size``.

    Resizing is bicubic with antialiasing, as for packed images. ``crop`` resizes the short side and
    keeps the centred square, ``squash`` changes the proportions, and ``pad`` resizes the long side
    and adds black bars.
    """
    if fit == "squash":
        return _resize(image, size, size)
    _, height, width = image.shape
    if fit == "pad":
        scale = size / max(height, width)
        return pad_to_square(
            _resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
        )
    # Only the middle of a very long image is resized, because the whole could take gigabytes.
    for side in (1, 2):
        longest = MAX_ASPECT * min(image.shape[1:])
        if image.shape[side] > longest:
            image = image.narrow(side, (image.shape[side] - longest) // 2, longest)
    _, height, width = image.shape
    scale = size / min(height, width)
    high, wide = max(size, round(height * scale)), max(size, round(width * scale))
    image = _resize(image, high, wide)
    top, left = (high - size) // 2, (wide - size) // 2
    return image[:, top : top + size, left : left + size]


def pad_to_square(image: Tensor) -> Tensor:
    """Return an image (C, H, W) made square by equal black bars on two opposite sides."""
    _, height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return functional.pad(image, (left, side - width - left, top, side - height - top))


def image_for_crops(image: Tensor, fit: Fit) -> Tensor:
    """Return the image (C, H, W) from which random crops are taken, at its original resolution.

    ``crop`` keeps the whole image, as in the papers; ``squash`` resizes it to a square of the same
    area, and ``pad`` adds black bars.
    """
    if fit == "pad":
        return pad_to_square(image)
    side = max(1, round((image.shape[1] * image.shape[2]) ** 0.5))
    return _resize(image, side, side) if fit == "squash" else image


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    """Return a uint8 image (C, H, W), resized with a bicubic filter and antialiasing."""
    if image.shape[1:] == (height, width):
        return image
    return functional.interpolate(
        image[None], size=(height, width), mode="bicubic", antialias=True
    )[0]

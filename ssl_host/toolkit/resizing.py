"""Make images square by cropping, squashing or padding them."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

from ssl_host.contracts.data import Fit

PHOTO_MARGIN = 8 / 7
"""Side of packed images divided by the side of a view: 256 pixels for a 224-pixel view."""

MAX_ASPECT = 8
"""Largest aspect ratio; longer images are cropped to it before they are resized."""

Interpolation = Literal["bicubic", "nearest"]
"""Bicubic with antialiasing, or the nearest pixel, for class indices."""


def resize_to_square(
    image: Tensor,
    size: int,
    fit: Fit = "crop",
    *,
    interpolation: Interpolation = "bicubic",
    fill: int = 0,
) -> Tensor:
    """Return a uint8 image (C, H, W) as a square with the side ``size``.

    Packed images are resized in this way. ``crop`` resizes the short side and keeps the centred
    square, ``squash`` changes the proportions, and ``pad`` resizes the long side and adds bars.

    Args:
        image: the image, or a mask of the same size.
        size: side of the square, in pixels.
        fit: how the image is made square.
        interpolation: ``bicubic`` with antialiasing, as for images, or ``nearest`` for masks,
            whose values are class indices.
        fill: value of the bars; 0 is black.
    """
    if fit == "squash":
        return _resize(image, size, size, interpolation)
    _, height, width = image.shape
    if fit == "pad":
        scale = size / max(height, width)
        high, wide = max(1, round(height * scale)), max(1, round(width * scale))
        return pad_to_square(_resize(image, high, wide, interpolation), fill)
    # Only the middle of a very long image is resized, because the whole could take gigabytes.
    for side in (1, 2):
        longest = MAX_ASPECT * min(image.shape[1:])
        if image.shape[side] > longest:
            image = image.narrow(side, (image.shape[side] - longest) // 2, longest)
    _, height, width = image.shape
    scale = size / min(height, width)
    high, wide = max(size, round(height * scale)), max(size, round(width * scale))
    image = _resize(image, high, wide, interpolation)
    top, left = (high - size) // 2, (wide - size) // 2
    return image[:, top : top + size, left : left + size]


def pad_to_square(image: Tensor, fill: int = 0) -> Tensor:
    """Return an image (C, H, W) made square by equal bars on two opposite sides."""
    _, height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return functional.pad(image, (left, side - width - left, top, side - height - top), value=fill)


def image_for_crops(image: Tensor, fit: Fit) -> Tensor:
    """Return the image (C, H, W) from which random crops are taken, at its original resolution.

    ``crop`` keeps the whole image, as in the papers; ``squash`` resizes it to a square of the same
    area, and ``pad`` adds black bars.
    """
    if fit == "pad":
        return pad_to_square(image)
    side = max(1, round((image.shape[1] * image.shape[2]) ** 0.5))
    return _resize(image, side, side) if fit == "squash" else image


def _resize(
    image: Tensor, height: int, width: int, interpolation: Interpolation = "bicubic"
) -> Tensor:
    """Return a uint8 image (C, H, W), resized; the bicubic filter has antialiasing."""
    if image.shape[1:] == (height, width):
        return image
    if interpolation == "nearest":
        # Unlike "nearest", "nearest-exact" takes the pixel at the centre, as bicubic does.
        return functional.interpolate(image[None], size=(height, width), mode="nearest-exact")[0]
    return functional.interpolate(
        image[None], size=(height, width), mode="bicubic", antialias=True
    )[0]

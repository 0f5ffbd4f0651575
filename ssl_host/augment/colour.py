"""Colour changes for batches of images, defined as in torchvision.

All functions take images (B, C, H, W), float from 0 to 1, and most also take one number for each
image, (B,). Saturation, hue and grayscale need three channels; with a different number of channels
they return the images unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LUMA = (0.2989, 0.587, 0.114)


def luma(images: Tensor) -> Tensor:
    """Return the brightness of each pixel, (B, 1, H, W): ITU-R 601 for RGB, else the mean."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True) if images.shape[1] > 1 else images
    r, g, b = images.unbind(dim=1)
    return (_LUMA[0] * r + _LUMA[1] * g + _LUMA[2] * b)[:, None]


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Return each image with its brightness multiplied by a factor."""
    return (images * _column(factor)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Return each image blended with its mean brightness; factor 1 leaves it unchanged."""
    mean = luma(images).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, _column(factor)).clamp_(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Return each image blended with its gray version; factor 1 leaves it unchanged."""
    if images.shape[1] != 3:
        return images
    return torch.lerp(luma(images), images, _column(factor)).clamp_(0, 1)


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """Return each image with its hue shifted by a fraction of the colour circle, -0.5 to 0.5."""
    if images.shape[1] != 3:
        return images
    top, argtop = images.max(dim=1)
    bottom = images.amin(dim=1)
    chroma = top - bottom
    r, g, b = images.unbind(dim=1)
    divisor = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    # hue in sixths of the circle, as in torchvision's _rgb2hsv
    angle = torch.where(
        argtop == 0,
        (g - b) / divisor,
        torch.where(argtop == 1, 2.0 + (b - r) / divisor, 4.0 + (r - g) / divisor),
    )
    angle = (angle + 6 * shift[:, None, None]) % 6
    # The closed form f(n) for HSV to RGB needs no branches and computes three channels at once.
    n = torch.tensor([5.0, 3.0, 1.0], device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    k = (n + angle[:, None]) % 6
    return top[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp_(0, 1)


def grayscale(images: Tensor) -> Tensor:
    """Convert the images to grayscale, with the same number of channels as before."""
    # Make a copy: later operations write images in place, so channels must not share memory.
    return luma(images).expand_as(images).contiguous() if images.shape[1] == 3 else images


def _column(values: Tensor) -> Tensor:
    """Return values (B,) as (B, 1, 1, 1), which broadcasts over images."""
    return values[:, None, None, None]

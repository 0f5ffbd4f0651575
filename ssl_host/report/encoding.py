"""Encode pictures as PNG data URIs, for pages that load no other files."""

from __future__ import annotations

import base64
import io

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ssl_host.augment.executor import ViewMaker

MAX_SIDE = 64
"""Largest side of most pictures in the report, in pixels."""


def denormalise(images: Tensor, views: ViewMaker) -> Tensor:
    """Return normalised images (..., C, H, W) with values from 0 to 1, or slightly beyond."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (views.mean, views.std))
    return images * std + mean


def to_uint8(image: Tensor) -> Tensor:
    """Convert an image from floats (0 to 1) to uint8 (0 to 255)."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def data_uri(image: Tensor, max_side: int = MAX_SIDE) -> str:
    """Return an image as a PNG data URI, shrunk to at most ``max_side`` pixels per side."""
    height, width = image.shape[1:]
    if max(height, width) > max_side:
        scale = max_side / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        small = functional.interpolate(
            image[None].float(), size=size, mode="bilinear", antialias=True
        )
        image = small[0].clamp(0, 255).to(torch.uint8)
    return png_uri(image)


def png_uri(image: Tensor) -> str:
    """Return a uint8 image (C, H, W) at full size as a PNG data URI."""
    if image.shape[0] not in (1, 3):
        image = image[:1]
    array = image.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

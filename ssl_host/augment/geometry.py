"""Where a view looks: crops, flips, small affine maps. Batched, parameters per sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.contracts.augmentation import SampleRNG, ViewSpec

TRIES = 10
"""Boxes that torchvision's RandomResizedCrop tries before it falls back to the centre."""


def crop_boxes(spec: ViewSpec, rng: SampleRNG, view: int, height: int, width: int) -> Tensor:
    """Random crops as torchvision's RandomResizedCrop draws them.

    Area uniform in ``crop_scale`` of the image, aspect log-uniform in ``crop_ratio``; the first
    of ten that fits, else the largest centred box of an admitted aspect.

    Returns:
        B 4, int64: top, left, height, width.
    """
    area = float(height * width)
    low, high = (math.log(r) for r in spec.crop_ratio)
    scale = torch.stack([rng.uniform(view, f"scale{i}", *spec.crop_scale) for i in range(TRIES)])
    ratio = torch.stack([rng.uniform(view, f"ratio{i}", low, high) for i in range(TRIES)]).exp()
    wide = (area * scale * ratio).sqrt().round()
    high_ = (area * scale / ratio).sqrt().round()
    fits = (wide > 0) & (wide <= width) & (high_ > 0) & (high_ <= height)
    first = fits.to(torch.uint8).argmax(dim=0, keepdim=True)
    wide, high_ = wide.gather(0, first)[0], high_.gather(0, first)[0]
    top = (rng.uniform(view, "top") * (height - high_ + 1)).floor()
    left = (rng.uniform(view, "left") * (width - wide + 1)).floor()
    boxes = torch.stack([top, left, high_, wide], dim=1)
    fallback = torch.tensor(central_box(spec, height, width), dtype=boxes.dtype)
    chosen = torch.where(fits.any(dim=0)[:, None], boxes, fallback.to(boxes.device))
    return chosen.to(torch.int64)


def central_box(spec: ViewSpec, height: int, width: int) -> tuple[int, int, int, int]:
    """The largest centred box of an admitted aspect: top, left, height, width."""
    ratio = min(max(width / height, spec.crop_ratio[0]), spec.crop_ratio[1])
    wide = min(width, max(1, round(height * ratio)))
    high = min(height, max(1, round(width / ratio)))
    return (height - high) // 2, (width - wide) // 2, high, wide


def crop_resize(
    images: Tensor, boxes: Tensor, size: int, interpolation: str, flip: Tensor | None = None
) -> Tensor:
    """Cut a box out of each image and resize it, antialiased; flip what is to be flipped.

    Resizing is separable: a view is V · image · Hᵀ with one small matrix a side and sample,
    which holds the filter's weights as Pillow computes them. On small images that is quicker
    than a gather, and exact. torchvision rounds back to uint8 here; this stays in floats.

    Args:
        images: B C H W, uint8, or float from 0 to 1.
        boxes: B 4: top, left, height, width, in pixels.
        flip: B, bool.

    Returns:
        B C ``size`` ``size``, float32 from 0 to 1.
    """
    height, width = images.shape[2:]
    vertical = resize_weights(boxes[:, 0], boxes[:, 2], height, size, interpolation)
    horizontal = resize_weights(boxes[:, 1], boxes[:, 3], width, size, interpolation)
    if flip is not None:
        horizontal = torch.where(flip[:, None, None], horizontal.flip(1), horizontal)
    pixels = images.to(torch.float32)
    if images.dtype == torch.uint8:
        vertical = vertical / 255
    batch, channels = images.shape[:2]
    # Along the rows first: one product a sample serves all channels.
    rows = torch.bmm(pixels.reshape(batch, channels * height, width), horizontal.transpose(1, 2))
    views = torch.matmul(vertical[:, None], rows.view(batch, channels, height, size))
    return views.clamp_(0, 1)


def resize_weights(
    start: Tensor, length: Tensor, source: int, size: int, interpolation: str
) -> Tensor:
    """Weights B ``size`` ``source`` of an antialiased resize of ``[start, start + length)``.

    Pillow's: a filter of radius 1 (triangle) or 2 (Keys' cubic, a = -0.5) stretched by the
    scale where it shrinks, cut at the box, normalised.
    """
    device = start.device
    # float64 for the positions: a weight at the filter's edge decides by the last digit
    begin, extent = start.double()[:, None, None], length.double()[:, None, None]
    scale = extent / size
    stretch = scale.clamp(min=1.0)
    centre = (torch.arange(size, device=device, dtype=torch.float64)[None, :, None] + 0.5) * scale
    place = torch.arange(source, device=device, dtype=torch.float64)[None, None, :] - begin
    radius = 2.0 if interpolation == "bicubic" else 1.0
    # Pillow's window: pixels whose index, rounded, lies within the stretched radius
    lowest = (centre - radius * stretch + 0.5).floor().clamp(min=0.0)
    highest = torch.minimum((centre + radius * stretch + 0.5).floor(), extent)
    distance = ((place - centre + 0.5) / stretch).abs().float()
    weights = _cubic(distance) if interpolation == "bicubic" else (1 - distance).clamp(min=0)
    weights = weights * ((place >= lowest) & (place < highest))
    return weights / weights.sum(dim=2, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def affine(images: Tensor, angle: Tensor, shift: Tensor, shear: Tensor, zoom: Tensor) -> Tensor:
    """Rotate, shear along x, scale about the centre, then shift; bilinear, black outside.

    As ``torchvision.transforms.functional.affine`` with BILINEAR.

    Args:
        images: B C H W, float.
        angle, shear: B, degrees; a positive angle turns clockwise on the screen.
        shift: B 2, pixels along x and y.
        zoom: B.
    """
    height, width = images.shape[2:]
    turn, slant = torch.deg2rad(angle), torch.deg2rad(shear)
    # the inverse of translate · rotate · shear · zoom, as torchvision composes it
    a, b = turn.cos(), -turn.cos() * slant.tan() - turn.sin()
    c, d = turn.sin(), -turn.sin() * slant.tan() + turn.cos()
    matrix = torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1)
    matrix = matrix / zoom[:, None, None]
    offset = -(matrix @ shift[:, :, None])
    # grid_sample's coordinates run from -1 to 1 on both sides
    sides = torch.tensor([width / 2, height / 2], device=images.device, dtype=images.dtype)
    theta = torch.cat([matrix * sides[None, None, :], offset], dim=2) / sides[None, :, None]
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid.to(images.dtype), align_corners=False)

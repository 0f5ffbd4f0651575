"""Crops, flips and affine transforms of batches, with different parameters for each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.augment.operations import ViewSpec
from ssl_host.contracts.augmentation import SampleRNG

MAX_CROP_TRIES = 10
"""Number of random boxes to try before the central box is used, as in torchvision."""


def crop_boxes(spec: ViewSpec, rng: SampleRNG, view: int, height: int, width: int) -> Tensor:
    """Draw one random crop for each image, as torchvision's RandomResizedCrop does.

    The area of a box, as a fraction of the image, is drawn uniformly from ``spec.crop_scale``, and
    its width over height log-uniformly from ``spec.crop_ratio``. The first of ten boxes that fits
    into the image is used, or :func:`central_box` if none fits.

    Args:
        spec: the spec of the view.
        rng: source of the random numbers.
        view: index of the view.
        height: height of the images, in pixels.
        width: width of the images, in pixels.

    Returns:
        (B, 4), int64: top, left, height and width of each crop, in pixels.
    """
    area = float(height * width)
    low_ratio, high_ratio = (math.log(r) for r in spec.crop_ratio)
    tries = range(MAX_CROP_TRIES)
    scale = torch.stack([rng.uniform(view, f"scale{i}", *spec.crop_scale) for i in tries])
    ratio = torch.stack(
        [rng.uniform(view, f"ratio{i}", low_ratio, high_ratio) for i in tries]
    ).exp()
    widths = (area * scale * ratio).sqrt().round()
    heights = (area * scale / ratio).sqrt().round()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.to(torch.uint8).argmax(dim=0, keepdim=True)
    widths, heights = widths.gather(0, first)[0], heights.gather(0, first)[0]
    top = (rng.uniform(view, "top") * (height - heights + 1)).floor()
    left = (rng.uniform(view, "left") * (width - widths + 1)).floor()
    boxes = torch.stack([top, left, heights, widths], dim=1)
    fallback = torch.tensor(central_box(spec, height, width), dtype=boxes.dtype)
    boxes = torch.where(fits.any(dim=0)[:, None], boxes, fallback.to(boxes.device))
    return boxes.to(torch.int64)


def central_box(spec: ViewSpec, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the largest centred box with an aspect ratio in ``spec.crop_ratio``.

    The four numbers are its top, left, height and width, in pixels.
    """
    ratio = min(max(width / height, spec.crop_ratio[0]), spec.crop_ratio[1])
    box_width = min(width, max(1, round(height * ratio)))
    box_height = min(height, max(1, round(width / ratio)))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def crop_resize(
    images: Tensor, boxes: Tensor, size: int, interpolation: str, flip: Tensor | None = None
) -> Tensor:
    """Crop each image, resize the crop with antialiasing, and flip it if requested.

    Resizing is separable: a view is V · image · Hᵀ. Each image has its own small matrices V and H,
    which contain the weights of Pillow's filter. On small images this is faster than
    gathering pixels, and exact. Unlike torchvision, this function does not round to uint8.

    Args:
        images: (B, C, H, W), uint8, or float from 0 to 1.
        boxes: (B, 4): top, left, height and width of each box, in pixels.
        size: side of the result, in pixels.
        interpolation: ``bilinear`` or ``bicubic``.
        flip: (B,), bool, True for images to flip; None to flip none.

    Returns:
        (B, C, ``size``, ``size``), float32 from 0 to 1.
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
    # Resize the rows first, so that one matrix product per image covers all channels.
    rows = torch.bmm(pixels.reshape(batch, channels * height, width), horizontal.transpose(1, 2))
    views = torch.matmul(vertical[:, None], rows.view(batch, channels, height, size))
    return views.clamp_(0, 1)


def resize_weights(
    start: Tensor, length: Tensor, source: int, size: int, interpolation: str
) -> Tensor:
    """Return one matrix per image, which crops and resizes that image along one axis.

    The weights are the same as in Pillow with antialiasing: a triangle filter of radius 1 or Keys'
    cubic filter (a = -0.5) of radius 2. The filter is stretched by the scale if the image shrinks,
    cut off at the edges of the box, and normalised.

    Args:
        start: (B,), first pixel of each box.
        length: (B,), length of each box, in pixels.
        source: side of the images, in pixels.
        size: side of the result, in pixels.
        interpolation: ``bilinear`` or ``bicubic``.

    Returns:
        (B, ``size``, ``source``), float32; each row adds up to 1.
    """
    device = start.device
    # float64, because a rounded position decides whether a pixel is inside the filter
    begin, extent = start.double()[:, None, None], length.double()[:, None, None]
    scale = extent / size
    stretch = scale.clamp(min=1.0)
    centre = (torch.arange(size, device=device, dtype=torch.float64)[None, :, None] + 0.5) * scale
    position = torch.arange(source, device=device, dtype=torch.float64)[None, None, :] - begin
    radius = 2.0 if interpolation == "bicubic" else 1.0
    # Pillow's window: pixels with a rounded index within the stretched radius
    lowest = (centre - radius * stretch + 0.5).floor().clamp(min=0.0)
    highest = torch.minimum((centre + radius * stretch + 0.5).floor(), extent)
    distance = ((position - centre + 0.5) / stretch).abs().float()
    weights = _cubic(distance) if interpolation == "bicubic" else (1 - distance).clamp(min=0)
    weights = weights * ((position >= lowest) & (position < highest))
    return weights / weights.sum(dim=2, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Return the values of Keys' cubic convolution kernel (a = -0.5) at distances x ≥ 0."""
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def affine(images: Tensor, angle: Tensor, shift: Tensor, shear: Tensor, zoom: Tensor) -> Tensor:
    """Return images rotated, sheared along x and scaled about their centre, then shifted.

    Interpolation is bilinear, and pixels outside the image are black, as in torchvision's
    ``transforms.functional.affine`` with BILINEAR.

    Args:
        images: (B, C, H, W), float.
        angle: (B,), rotation in degrees; positive angles rotate clockwise on the screen.
        shift: (B, 2), shift along x and y, in pixels.
        shear: (B,), shear along x, in degrees.
        zoom: (B,), scale factor.
    """
    height, width = images.shape[2:]
    turn, slant = torch.deg2rad(angle), torch.deg2rad(shear)
    # the inverse of translate · rotate · shear · zoom, composed as in torchvision
    a, b = turn.cos(), -turn.cos() * slant.tan() - turn.sin()
    c, d = turn.sin(), -turn.sin() * slant.tan() + turn.cos()
    matrix = torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1)
    matrix = matrix / zoom[:, None, None]
    offset = -(matrix @ shift[:, :, None])
    # grid_sample's coordinates run from -1 to 1 along both axes
    sides = torch.tensor([width / 2, height / 2], device=images.device, dtype=images.dtype)
    theta = torch.cat([matrix * sides[None, None, :], offset], dim=2) / sides[None, :, None]
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid.to(images.dtype), align_corners=False)

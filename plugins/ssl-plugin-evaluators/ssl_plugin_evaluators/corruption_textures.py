"""Zooms, motion blur and clouds for the corruptions of images."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional


def clipped_zoom(images: np.ndarray, factor: float) -> np.ndarray:
    """Return the centres of images (B, H, W, C), magnified to the same size."""
    sizes = images.shape[1:3]
    inner = [int(np.ceil(size / factor)) for size in sizes]
    top, left = ((size - length) // 2 for size, length in zip(sizes, inner, strict=True))
    centre = images[:, top : top + inner[0], left : left + inner[1]]
    planes = torch.from_numpy(np.ascontiguousarray(centre.transpose(0, 3, 1, 2)))
    larger = functional.interpolate(
        planes,
        size=[round(length * factor) for length in inner],
        mode="bilinear",
        align_corners=True,
    )
    zoomed = larger.numpy().transpose(0, 2, 3, 1)
    top, left = ((zoomed.shape[i + 1] - sizes[i]) // 2 for i in range(2))
    return zoomed[:, top : top + sizes[0], left : left + sizes[1]]


def motion_blurred(images: np.ndarray, radius: int, sigma: float, angles: np.ndarray) -> np.ndarray:
    """Return images (B, H, W, C), each blurred along a line, as ImageMagick's motion blur.

    Args:
        images: the images.
        radius: radius of the kernel in pixels; it has 2 · radius + 1 weights on one side.
        sigma: standard deviation of the Gaussian weights, in pixels.
        angles: (B,), the angle of each line in degrees.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    height, width = images.shape[1:3]
    blurred = np.zeros_like(images)
    for i, angle in enumerate(np.deg2rad(angles)):
        downs = np.ceil(steps * np.sin(angle) - 0.5).astype(int)
        rights = np.ceil(steps * np.cos(angle) - 0.5).astype(int)
        for weight, down, right in zip(weights, downs, rights, strict=True):
            rows = (np.arange(height) + down).clip(0, height - 1)
            columns = (np.arange(width) + right).clip(0, width - 1)
            blurred[i] += weight * images[i, rows[:, None], columns]
    return blurred


def plasma_fractal(side: int, decay: float, generator: np.random.Generator) -> np.ndarray:
    """Return clouds from 0 to 1 by the diamond-square algorithm, at least ``side`` squared.

    Args:
        side: smallest side in pixels; the result's side is the next power of 2.
        decay: factor by which the random offsets shrink when the step is halved.
        generator: random generator.
    """
    size = 1 << max(1, side - 1).bit_length()
    clouds = np.zeros((size, size))
    step, offset = size, 100.0

    def mean_of(total: np.ndarray) -> np.ndarray:
        # The authors multiply the offset with uniform numbers from -offset to offset.
        return total / 4 + offset * generator.uniform(-offset, offset, total.shape)

    while step >= 2:
        half = step // 2
        corners = clouds[::step, ::step]
        total = corners + np.roll(corners, -1, axis=0)
        clouds[half::step, half::step] = mean_of(total + np.roll(total, -1, axis=1))
        centres = clouds[half::step, half::step]
        upright = centres + np.roll(centres, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        clouds[::step, half::step] = mean_of(upright)
        level = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        clouds[half::step, ::step] = mean_of(level)
        step, offset = half, offset / decay
    clouds -= clouds.min()
    clouds /= clouds.max()
    return clouds

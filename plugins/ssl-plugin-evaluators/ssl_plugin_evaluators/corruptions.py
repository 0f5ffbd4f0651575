"""Corruptions of images: Hendrycks & Dietterich, arXiv:1903.12261, in numpy, scipy and Pillow.

Every function takes images (B, H, W, C) from 0 to 1 in float64, the parameters of a severity and a
random generator, and returns corrupted images, which :func:`corrupt` clips to 0 and 1. frost (it
needs photographs) and spatter (it needs OpenCV) are left out.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional

from ssl_plugin_evaluators.corruption_severities import CIFAR_C, IMAGENET_C
from ssl_plugin_evaluators.corruption_textures import clipped_zoom, motion_blurred, plasma_fractal

Corruption = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "saturate",
]
"""Name of a corruption."""
Generator = np.random.Generator
SMALL = 96
"""Side in pixels below which the severities are those of CIFAR-10-C."""


def corrupt(
    images: np.ndarray, name: Corruption, severity: int, generator: Generator
) -> np.ndarray:
    """Return corrupted uint8 images (B, H, W, C).

    Args:
        images: (B, H, W, C), uint8, with one or three channels.
        name: name of the corruption, a key of :data:`CORRUPTIONS`.
        severity: from 1 to 5.
        generator: random generator.
    """
    table = CIFAR_C if min(images.shape[1:3]) < SMALL else IMAGENET_C
    corrupted = CORRUPTIONS[name](images / 255, table[name][severity - 1], generator)
    return (255 * corrupted.clip(0, 1)).astype(np.uint8)


def _gaussian_noise(x: np.ndarray, c: float, generator: Generator) -> np.ndarray:
    return x + generator.normal(scale=c, size=x.shape)


def _shot_noise(x: np.ndarray, c: float, generator: Generator) -> np.ndarray:
    return generator.poisson(x * c) / c


def _impulse_noise(x: np.ndarray, c: float, generator: Generator) -> np.ndarray:
    replaced = generator.random(x.shape) < c
    return np.where(replaced, generator.integers(0, 2, x.shape), x)


def _speckle_noise(x: np.ndarray, c: float, generator: Generator) -> np.ndarray:
    return x + x * generator.normal(scale=c, size=x.shape)


def _gaussian_blur(x: np.ndarray, c: float, _: Generator) -> np.ndarray:
    blurred: np.ndarray = ndimage.gaussian_filter(x, (0, c, c, 0), mode="nearest")
    return blurred


def _defocus_blur(x: np.ndarray, c: tuple[float, float], _: Generator) -> np.ndarray:
    kernel = disk(*c)
    pad = len(kernel) // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    planes = torch.from_numpy(padded.transpose(0, 3, 1, 2)).flatten(0, 1)[:, None].float()
    blurred = functional.conv2d(planes, torch.from_numpy(kernel)[None, None].float())
    return blurred.numpy().reshape(len(x), -1, *x.shape[1:3]).transpose(0, 2, 3, 1)


def disk(radius: float, alias_blur: float) -> np.ndarray:
    """Return the kernel of a disk with a radius in pixels, whose edge is blurred by a Gaussian."""
    half = 8 if radius <= 8 else int(radius)
    steps = np.arange(-half, half + 1)
    kernel = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.float64)
    kernel /= kernel.sum()
    width = 1 if radius <= 8 else 2
    blurred: np.ndarray = ndimage.gaussian_filter(kernel, alias_blur, radius=width, mode="mirror")
    return blurred


def _glass_blur(x: np.ndarray, c: tuple[float, int, int], generator: Generator) -> np.ndarray:
    sigma, reach, repeats = c
    x = np.floor(255 * _gaussian_blur(x, sigma, generator)) / 255
    batch, (height, width) = np.arange(len(x)), x.shape[1:3]
    for _ in range(repeats):
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                dx, dy = generator.integers(-reach, reach, (2, len(x)))
                # The authors' swap of two views of an array copies the second pixel to the first.
                x[:, row, column] = x[batch, row + dy, column + dx]
    return _gaussian_blur(x, sigma, generator)


def _motion_blur(x: np.ndarray, c: tuple[int, float], generator: Generator) -> np.ndarray:
    return motion_blurred(x, *c, generator.uniform(-45, 45, len(x)))


def _zoom_blur(x: np.ndarray, c: tuple[float, float], _: Generator) -> np.ndarray:
    factors = np.arange(1, *c)
    return (x + sum(clipped_zoom(x, factor) for factor in factors)) / (len(factors) + 1)


def _snow(x: np.ndarray, c: tuple[Any, ...], generator: Generator) -> np.ndarray:
    layer = generator.normal(c[0], c[1], (*x.shape[:3], 1))
    layer = clipped_zoom(layer, c[2])
    layer = np.where(layer < c[3], 0, layer).clip(0, 1)
    layer = motion_blurred(layer, c[4], c[5], generator.uniform(-135, -45, len(x)))
    gray = x @ np.array([0.299, 0.587, 0.114])[:, None] if x.shape[3] == 3 else x
    x = c[6] * x + (1 - c[6]) * np.maximum(x, 1.5 * gray + 0.5)
    return x + layer + np.rot90(layer, 2, axes=(1, 2))


def _fog(x: np.ndarray, c: tuple[float, float], generator: Generator) -> np.ndarray:
    largest = x.max(axis=(1, 2, 3), keepdims=True)
    clouds = np.stack([plasma_fractal(max(x.shape[1:3]), c[1], generator) for _ in x])
    x = x + c[0] * clouds[:, : x.shape[1], : x.shape[2], None]
    foggy: np.ndarray = x * largest / (largest + c[0])
    return foggy


def _brightness(x: np.ndarray, c: float, _: Generator) -> np.ndarray:
    # Colours are proportional to the value V of HSV.
    value = x.max(axis=3, keepdims=True)
    target = (value + c).clip(0, 1)
    brighter: np.ndarray = np.where(value > 0, x / np.where(value > 0, value, 1) * target, target)
    return brighter


def _saturate(x: np.ndarray, c: tuple[float, float], _: Generator) -> np.ndarray:
    if x.shape[3] == 1:
        return x
    # The distances of the channels from V are proportional to the saturation S of HSV.
    value, low = x.max(axis=3, keepdims=True), x.min(axis=3, keepdims=True)
    saturation = np.where(value > 0, (value - low) / np.where(value > 0, value, 1), 0)
    target = (saturation * c[0] + c[1]).clip(0, 1)
    gray = value * (1 - target * np.array([0, 1, 1]))  # gray has the hue of red
    colour = value - (value - x) * target / np.where(saturation > 0, saturation, 1)
    saturated: np.ndarray = np.where(saturation > 0, colour, gray)
    return saturated


def _contrast(x: np.ndarray, c: float, _: Generator) -> np.ndarray:
    means = x.mean(axis=(1, 2), keepdims=True)
    flatter: np.ndarray = (x - means) * c + means
    return flatter


def _elastic_transform(
    x: np.ndarray, c: tuple[float, float, float], generator: Generator
) -> np.ndarray:
    height, width = x.shape[1:3]
    strength, sigma, shift = (min(height, width) * number for number in c)
    centre, size = np.array([width // 2, height // 2]), min(height, width) // 3
    corners = centre + size * np.array([[1, 1], [1, -1], [-1, -1]])
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(float)
    warped = np.empty_like(x)
    for i, image in enumerate(x):
        moved = corners + generator.uniform(-shift, shift, corners.shape)
        # Where a pixel of the result comes from: the inverse of corners -> moved.
        affine = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners)
        source = np.concatenate([grid, np.ones((height, width, 1))], axis=2) @ affine
        noise = generator.uniform(-1, 1, (2, height, width))
        smooth = [ndimage.gaussian_filter(n, sigma, mode="reflect", truncate=3) for n in noise]
        target = grid + strength * np.stack(smooth, axis=-1)
        for channel in range(x.shape[3]):
            plane = _interpolate(image[..., channel], source, "mirror")
            warped[i, ..., channel] = _interpolate(plane, target, "reflect")
    return warped


def _interpolate(plane: np.ndarray, xy: np.ndarray, mode: str) -> np.ndarray:
    """Return the values of an image (H, W) at positions (x, y), by linear interpolation."""
    values: np.ndarray = ndimage.map_coordinates(
        plane, [xy[..., 1], xy[..., 0]], order=1, mode=mode
    )
    return values


def _pixelate(x: np.ndarray, c: float, _: Generator) -> np.ndarray:
    height, width = x.shape[1:3]
    small = max(1, int(width * c)), max(1, int(height * c))

    def resize(image: Image.Image) -> Image.Image:
        return image.resize(small, Image.Resampling.BOX).resize(
            (width, height), Image.Resampling.BOX
        )

    return _with_pillow(x, resize)


def _jpeg_compression(x: np.ndarray, c: int, _: Generator) -> np.ndarray:
    def compress(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=c)
        return Image.open(file)

    return _with_pillow(x, compress)


def _with_pillow(x: np.ndarray, function: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Return images that a function has changed as Pillow images."""
    pixels = np.rint(255 * x).astype(np.uint8)
    pixels = pixels[..., 0] if x.shape[3] == 1 else pixels
    changed = np.stack([np.asarray(function(Image.fromarray(image))) for image in pixels])
    return changed.reshape(x.shape) / 255


CORRUPTIONS: dict[Corruption, Callable[[np.ndarray, Any, Generator], np.ndarray]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "defocus_blur": _defocus_blur,
    "glass_blur": _glass_blur,
    "motion_blur": _motion_blur,
    "zoom_blur": _zoom_blur,
    "snow": _snow,
    "fog": _fog,
    "brightness": _brightness,
    "contrast": _contrast,
    "elastic_transform": _elastic_transform,
    "pixelate": _pixelate,
    "jpeg_compression": _jpeg_compression,
    "speckle_noise": _speckle_noise,
    "gaussian_blur": _gaussian_blur,
    "saturate": _saturate,
}
"""Functions of the corruptions, keyed by name; the first 14 are the paper's test set."""
STANDARD = tuple(CORRUPTIONS)[:14]
"""Corruptions of the paper's test set, without frost."""

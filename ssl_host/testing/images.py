"""Synthetic images for testing data sources; each is generated from a number."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

COLOURS = ("blue", "green", "red")
"""Class names of the synthetic images, in alphabetical order."""


def picture(number: int) -> Image.Image:
    """Return an RGB noise image generated from a number, 20 to 26 pixels high, 24 to 28 wide."""
    rng = np.random.default_rng(number)
    shape = (20 + number % 7, 24 + number % 5, 3)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


def encoded(number: int, file_format: str = "PNG") -> bytes:
    """Return ``picture(number)`` encoded as the bytes of an image file; PNG is lossless."""
    out = io.BytesIO()
    picture(number).save(out, file_format)
    return out.getvalue()


def label_of(number: int) -> str:
    """Return the class name of an image; image 0 is not in the first class, ``blue``."""
    return COLOURS[(number * 2 + 1) % 3]


def is_picture(pixels: Tensor, number: int) -> bool:
    """Return True if a uint8 image (C, H, W) equals ``picture(number)`` in every pixel."""
    return torch.equal(pixels, torch.from_numpy(np.array(picture(number))).permute(2, 0, 1))


def write_pictures(folder: Path, numbers: range) -> None:
    """Write ``picture(number)`` for each number, as ``00.png``, ``01.png`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:02}.png").write_bytes(encoded(number))

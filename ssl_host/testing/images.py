"""Made pictures, each a function of a number, that tests of data write and read back::

from ssl_host.testing.images import encoded, is_picture
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

COLOURS = ("blue", "green", "red")
"""The classes' names, sorted."""


def picture(number: int) -> Image.Image:
    """Noise in RGB, 20 to 26 pixels high, 24 to 28 wide: another size for another number."""
    draw = np.random.default_rng(number)
    shape = (20 + number % 7, 24 + number % 5, 3)
    return Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8))


def encoded(number: int, form: str = "PNG") -> bytes:
    """The same as the bytes of a file, in a format of Pillow's; PNG loses nothing."""
    out = io.BytesIO()
    picture(number).save(out, form)
    return out.getvalue()


def label_of(number: int) -> str:
    """A picture's class; the first number's is not the first in the alphabet."""
    return COLOURS[(number * 2 + 1) % 3]


def is_picture(found: Tensor, number: int) -> bool:
    """Whether an image, uint8 C H W, is the picture of a number in every pixel."""
    return torch.equal(found, torch.from_numpy(np.array(picture(number))).permute(2, 0, 1))


def write_pictures(folder: Path, numbers: range) -> None:
    """Files ``00.png``, ``01.png`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:02}.png").write_bytes(encoded(number))

"""Pictures that tests of data components write and read back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

COLOURS = ("blue", "green", "red")


def pixels(seed: int, mode: str = "RGB") -> Image.Image:
    """Noise, of another size for another seed."""
    draw = np.random.default_rng(seed)
    values = draw.integers(0, 256, (20 + seed % 7, 24 + seed % 5, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def encoded(seed: int, form: str = "PNG", mode: str = "RGB") -> bytes:
    """The same as the bytes of a file."""
    out = io.BytesIO()
    pixels(seed, mode).save(out, form)
    return out.getvalue()


def label(seed: int) -> str:
    """Class of a picture; not in the order of the alphabet."""
    return COLOURS[(seed * 2 + 1) % 3]


def is_picture(found: torch.Tensor, seed: int) -> bool:
    """Whether every pixel is there, C H W."""
    expected = torch.from_numpy(np.array(pixels(seed))).permute(2, 0, 1)
    return torch.equal(found, expected)


def write_pictures(folder: Path, seeds: range) -> list[str]:
    """PNG files; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed:02}.png").write_bytes(encoded(seed))
    return [f"{seed:02}.png" for seed in seeds]

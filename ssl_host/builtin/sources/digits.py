"""Data source ``digits``: the handwritten digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from ssl_host import ArrayImages, DataError, DataSource, ImageDataset, Settings


class Digits(DataSource):
    """1,797 digits of 8 x 8 pixels from scikit-learn (UCI, Alpaydin & Kaynak 1998).

    Every fifth image is held out.
    """

    recipe = {"augmentation": {"name": "digits"}}

    class Config(Settings):
        image_size: int = Field(16, ge=8, le=512, description="side of a view in pixels")

    channels = 1
    mean = (0.3053,)
    std = (0.3770,)

    def open(self, split: str) -> ImageDataset | None:
        try:
            from sklearn.datasets import load_digits  # noqa: PLC0415 - optional
        except ImportError:
            raise DataError(
                "[data] digits needs the package scikit-learn: pip install 'ssl-host[digits]'"
            ) from None
        data = load_digits()
        held_out = np.arange(len(data.target)) % 5 == 4
        selected = held_out if split == "test" else ~held_out
        pixels = np.round(data.images[selected] * (255 / 16)).astype(np.uint8)
        labels = torch.from_numpy(data.target[selected].astype(np.int64))
        return ArrayImages(torch.from_numpy(pixels)[:, None], labels)

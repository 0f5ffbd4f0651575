"""Data source ``synthetic``: generated images for tests."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ssl_host import ArrayImages, DataSource, ImageDataset, Settings


class Synthetic(DataSource):
    """Images of gratings: each class has one orientation; phase, colour and noise are random.

    Use them to test a setup, not to compare SSL methods: even a classifier on raw pixels separates
    the classes well.
    """

    class Config(Settings):
        image_size: int = Field(32, ge=4, le=1024, description="side of an image in pixels")
        num_images: int = Field(512, ge=2, le=1_000_000, description="number of training images")
        num_test: int = Field(128, ge=1, le=1_000_000, description="number of held-out images")
        num_classes: int = Field(
            4, ge=1, le=1000, description="number of classes, one per orientation"
        )
        num_channels: int = Field(
            3, ge=1, le=4, description="number of channels; 1 for gray images"
        )
        labelled: bool = Field(True, description="true if the images have labels")
        noise: float = Field(
            0.1, ge=0, le=1, description="standard deviation of the noise, for pixels from 0 to 1"
        )

    def setup(self) -> None:
        self.channels = self.config.num_channels
        self.mean = (0.5,) * self.channels
        self.std = (0.25,) * self.channels

    def open(self, split: str) -> ImageDataset | None:
        if split == "test" and not self.config.labelled:
            return None
        count = self.config.num_test if split == "test" else self.config.num_images
        generator = torch.Generator().manual_seed(1 if split == "test" else 0)
        labels = torch.arange(count) % self.config.num_classes
        images = self._draw(labels, generator)
        return ArrayImages(images, labels if self.config.labelled else None)

    def _draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return an image for each label: a uint8 tensor (N, C, S, S)."""
        count, side = len(labels), self.config.image_size
        axis = torch.linspace(-1, 1, side)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        angle = labels * torch.pi / self.config.num_classes
        phase = torch.rand(count, generator=generator) * 2 * torch.pi
        along = x * angle.cos()[:, None, None] + y * angle.sin()[:, None, None]
        waves = torch.sin(along * 9 + phase[:, None, None])[:, None]
        tint = torch.rand(count, self.channels, 1, 1, generator=generator) * 0.3 + 0.2
        noise = torch.randn(count, self.channels, side, side, generator=generator)
        pixels: Tensor = 0.5 + waves * tint + noise * self.config.noise
        return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)

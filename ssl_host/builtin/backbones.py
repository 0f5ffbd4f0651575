"""Backbones that ship with the host."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from ssl_host import Backbone, Settings


class _Halving(nn.Conv2d):
    """A convolution of stride 2."""

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2:] == (1, 1):
            # The same numbers; the gradient of stride 2 on one pixel is wrong in torch's bfloat16
            # on CPUs (seen with 2.14), and small crops come down to one.
            return nn.functional.conv2d(images, self.weight, padding=self.padding)
        return super().forward(images)


class SmallConv(Backbone):
    """Stages of convolution, batch norm and ReLU, then the mean: quick on a CPU.

    Each stage but the first halves the side and doubles the channels. No paper; the features
    are the mean over space of the last stage's, as in a ResNet.
    """

    class Config(Settings):
        width: int = Field(24, ge=4, le=1024, description="channels of the first stage")
        num_stages: int = Field(5, ge=1, le=8, description="stages, each halving the side")

    def setup(self) -> None:
        layers: list[nn.Module] = []
        channels = self.in_channels
        for stage in range(self.config.num_stages):
            width = self.config.width * 2**stage
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False)
                if stage == 0
                else _Halving(channels, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.feature_dim = channels

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images).mean(dim=(2, 3))
        return features

    def export(self) -> tuple[nn.Module, dict[str, Any]]:
        return self, {"library": "ssl_host", "name": "small_conv"}

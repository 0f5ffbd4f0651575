"""Built-in backbones."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from ssl_host import Backbone, Settings


class _StridedConv(nn.Conv2d):
    """Convolution with stride 2 and a correct bfloat16 gradient even for one-pixel images."""

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2:] == (1, 1):
            # For one pixel, stride 1 gives the same output. With stride 2 torch computes a wrong
            # bfloat16 gradient on CPUs (seen with 2.14), and small crops shrink to one pixel.
            return nn.functional.conv2d(images, self.weight, padding=self.padding)
        return super().forward(images)


class SmallConv(Backbone):
    """Small convolutional network that is fast on a CPU; it is not from a paper.

    Each stage consists of a convolution, batch norm and ReLU. Each stage except the first halves
    the image size and doubles the number of channels. The features are the spatial mean of the last
    stage's output, as in a ResNet.
    """

    class Config(Settings):
        width: int = Field(24, ge=4, le=1024, description="number of channels in the first stage")
        num_stages: int = Field(5, ge=1, le=8, description="number of stages")

    config: Config

    def setup(self) -> None:
        layers: list[nn.Module] = []
        channels = self.in_channels
        for stage in range(self.config.num_stages):
            width = self.config.width * 2**stage
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False)
                if stage == 0
                else _StridedConv(channels, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.feature_dim = self.token_dim = channels

    def forward(self, images: Tensor) -> Tensor:
        return self.pool_map(self.feature_map(images))

    def feature_map(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features

    def export(self) -> tuple[nn.Module, dict[str, Any]]:
        return self, {"library": "ssl_host", "name": "small_conv"}

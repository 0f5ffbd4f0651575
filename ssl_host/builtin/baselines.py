"""Built-in baselines: untrained network, raw pixels, simple statistics, pretrained networks."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import (
    Backbone,
    Baseline,
    BaselineInputs,
    FeatureExtractor,
    Settings,
    UserError,
    recalibrate_batchnorm,
)


class RandomInit(Baseline):
    """The run's backbone with its initial weights, and batch-norm statistics of the images.

    Without these statistics, a random network would be 15 percentage points less accurate.
    """

    label = "random network"
    uses_backbone = True

    def make_extractor(self, inputs: BaselineInputs) -> FeatureExtractor:
        images, transform = inputs.train_images, inputs.transform
        return recalibrate_batchnorm(inputs.untrained(), images, transform, inputs.device)


class Pixels(Baseline):
    """The pixels of the image, from 0 to 1; large images are shrunk."""

    label = "raw pixels"

    class Config(Settings):
        max_side: int = Field(
            32,
            ge=1,
            le=1024,
            description="side in pixels to which larger images are shrunk; more pixels make probes "
            "slower but not better",
        )

    config: Config

    def make_extractor(self, inputs: BaselineInputs) -> FeatureExtractor:
        return self.features

    def features(self, images: Tensor) -> Tensor:
        """Return each image's pixels as one row: (B, D) for (B, C, H, W), uint8."""
        images = images.float() / 255
        side = self.config.max_side
        if max(images.shape[2:]) > side:
            size = (side, side)
            images = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
        return images.flatten(1)


class Statistics(Baseline):
    """Twelve statistics of the image: means, standard deviations and mean gradients.

    Colour images have 3 means, 3 standard deviations and 6 mean absolute values (of first and
    second differences, and of the distance from 0.5). Gray images have 1 mean, 1 standard
    deviation, the same 6 values, and the means of the 4 quarters. In both cases the total is 12.
    """

    label = "simple statistics"
    best_advice = (
        "the labels seem to follow from brightness, colour or contrast. To check, train with views "
        "that change these, such as [augmentation] name = simclr with more colour jitter and more "
        "gray views; if the accuracy falls to chance, the classes differ in nothing else."
    )

    def make_extractor(self, inputs: BaselineInputs) -> FeatureExtractor:
        return statistic_features


def statistic_features(images: Tensor) -> Tensor:
    """Return the statistics of uint8 images (B, C, H, W), (B, 12); see :class:`Statistics`."""
    images = images.float() / 255
    gray = images.mean(dim=1)
    dx, dy = gray.diff(dim=2), gray.diff(dim=1)
    energies = [dx, dy, dx.diff(dim=2), dy.diff(dim=1), dx.diff(dim=1), gray - 0.5]
    numbers = [images.mean(dim=(2, 3)), images.std(dim=(2, 3))]
    numbers.append(torch.stack([e.abs().mean(dim=(1, 2)) for e in energies], dim=1))
    if images.shape[1] == 1:
        numbers.append(functional.adaptive_avg_pool2d(gray[:, None], 2).flatten(1))
    return torch.cat(numbers, dim=1)


class Pretrained(Baseline):
    """A network with weights from elsewhere: timm's, those of another run, or those of a file.

    ``weights`` takes the backbone of a run or of an export. ``backbone = NAME`` takes any backbone:
    the section ``[backbone.NAME]`` describes it as ``[backbone]`` does, with weights that it
    downloads (``pretrained = true``) or that ``init_from`` in this section loads.

    The images are those of the run, normalised with the mean and std of the weights if they have
    one. Gray images are repeated for a network with three channels.
    """

    class Config(Settings):
        weights: Path | None = Field(
            None, description="run folder or exported folder whose backbone is the baseline"
        )
        backbone: str | None = Field(
            None,
            min_length=1,
            description="NAME of the section [backbone.NAME] that describes the network",
        )
        image_size: int | None = Field(
            None,
            ge=2,
            le=4096,
            description="size in pixels to which the run's images are resized for the network; "
            "default: image_size of the data",
        )

        mutually_exclusive = (("weights", "backbone"),)

        @model_validator(mode="after")
        def _has_a_network(self) -> Pretrained.Config:
            if self.weights is None and self.backbone is None:
                raise ValueError(
                    "needs a network: set weights to a run folder, or backbone = NAME and add a "
                    "section [backbone.NAME]"
                )
            return self

    config: Config
    is_trained = True
    named_sections = {"backbone": "backbone"}

    def setup(self) -> None:
        path = self.config.weights
        if path is not None and not path.exists():
            raise UserError(f"weights = {path}: no such file or folder")

    def make_extractor(self, inputs: BaselineInputs) -> FeatureExtractor:
        size = self.config.image_size or inputs.image_size
        if self.config.weights is not None:
            network = inputs.load_backbone(self.config.weights)
        else:
            network = inputs.backbone(str(self.config.backbone), size)
        if network.in_channels not in (inputs.channels, 3 if inputs.channels == 1 else 0):
            raise UserError(
                f"its network expects {network.in_channels} channels, but the images have "
                f"{inputs.channels}; use other weights, or another num_channels of the data"
            )
        return AdaptedNetwork(network, inputs, size)


class AdaptedNetwork(nn.Module):
    """Network that gets the input of the run's backbone, resized and normalised for its weights.

    Args:
        network: the network.
        inputs: image size, mean and std of the images that :meth:`forward` gets.
        size: side of the images that the network gets, in pixels.
    """

    def __init__(self, network: Backbone, inputs: BaselineInputs, size: int) -> None:
        super().__init__()
        self.network = network
        self.size = size
        repeats = network.in_channels // inputs.channels
        network.view_mean, network.view_std = inputs.mean * repeats, inputs.std * repeats

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, D) of images (B, C, H, W) in the run's mean and std."""
        images = images.expand(-1, self.network.in_channels, -1, -1)
        if images.shape[-1] != self.size:
            size = (self.size, self.size)
            images = functional.interpolate(images, size=size, mode="bicubic", antialias=True)
        features: Tensor = self.network(self.network.normalised_for(images))
        return features

"""Base class of baselines, the representations that a trained network is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ssl_host.contracts.component import Component
from ssl_host.contracts.networks import Backbone

FeatureExtractor = nn.Module | Callable[[Tensor], Tensor]
"""Network that maps normalised images (B, C, H, W) to features (B, D), or any other function that
maps uint8 images (B, C, H', W') of any size, on the CPU, to features (B, D)."""


@dataclass(frozen=True)
class BaselineInputs:
    """What a baseline can be made from: the run's images, its transform and its networks.

    Attributes:
        train_images: the images that probes are trained on: a uint8 array (N, C, H', W') that
            slices and tensors can index. They may be decoded when they are indexed.
        transform: function that turns uint8 images (B, C, H', W') of any size into the input of the
            trained network (B, C, H, W), normalised and without randomness.
        image_size: height and width of that input, H = W, in pixels.
        channels: number of channels C of the images.
        mean: mean of each channel with which the input is normalised, for pixel values from 0 to 1.
        std: standard deviation of each channel, for the same pixel values.
        device: device of the trained network.
        untrained: function that returns a new copy of the run's backbone with the initial weights
            that its seed gives, on ``device``.
        backbone: function that takes a name NAME and an image size in pixels, and returns the
            network of the section ``[backbone.NAME]`` with its weights, on ``device`` and in
            evaluation mode. The section must be named by a setting in
            :attr:`Component.named_sections`.
        load_backbone: function that takes the path of a run folder or of an export and returns its
            backbone, as :func:`ssl_host.load_backbone` does, on ``device``.
    """

    train_images: Any
    transform: Callable[[Tensor], Tensor]
    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    untrained: Callable[[], nn.Module]
    backbone: Callable[[str, int], Backbone]
    load_backbone: Callable[[Path], Backbone]


class Baseline(Component):
    """Base class of baselines: features that could be had without training.

    The section ``[baseline.NAME]`` adds one. Evaluators measure it like the trained network; in
    ``results.json``, the names of its metrics have the prefix ``NAME.``, as in ``NAME.knn.top1``.
    """

    kind: ClassVar[str] = "baseline"

    label: ClassVar[str] = ""
    """Title in tables and reports, such as ``raw pixels``; by default, and if the section does not
    have the name of the component, the name of the section."""
    uses_backbone: ClassVar[bool] = False
    """True if the features depend on the settings of ``[backbone]``, as those of an untrained
    network do. Runs with different backbones then have separate values."""
    is_trained: ClassVar[bool] = False
    """True if the features come from training elsewhere, as those of published weights. A metric
    need not beat such a baseline to show that the network learned."""
    best_advice: ClassVar[str] = ""
    """Advice for users if this baseline is as good as the trained network and all other baselines:
    one or more sentences on what that means and what to try. Empty if it means nothing special."""

    def make_extractor(self, inputs: BaselineInputs) -> FeatureExtractor:
        """Return the function or network that computes the features of this baseline.

        It is made once and then called with batches of training and held-out images, without
        gradient. The features (B, D) of an image must not depend on the other images of the batch.

        A network gets images that :attr:`BaselineInputs.transform` has normalised, in evaluation
        mode, and evaluators that train a network or compare views measure it, too. Any other
        function gets uint8 images; such evaluators skip it.

        Args:
            inputs: the run's images, transform and networks.

        Raises:
            UserError: if the baseline cannot be computed for these images, for example because of
                their number of channels; the message says which setting to change.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not implement make_extractor()")

"""Representations that evaluators measure: features of the trained network and of baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.config.error_locations import name_section
from ssl_host.contracts.baseline import Baseline, BaselineInputs
from ssl_host.errors import ContractError
from ssl_host.evaluate.extract import FeatureFunction, Transform, network_features


@dataclass(frozen=True)
class Representation:
    """Function that computes features, and the network behind it if there is one.

    Attributes:
        features: function that maps uint8 images (B, C, H, W) to features (B, D).
        network: network that maps normalised images to the same features; None if there is none.
    """

    features: FeatureFunction
    network: nn.Module | None = None


def network_representation(
    network: nn.Module, transform: Transform, device: torch.device
) -> Representation:
    """Return the representation by a network; ``transform`` makes its input from images."""
    return Representation(network_features(network, transform, device), network)


def make_representations(
    baselines: Mapping[str, Baseline], inputs: BaselineInputs, channels_last: bool = False
) -> dict[str, Representation]:
    """Return the representation by each baseline, keyed by the name of its section.

    Args:
        baselines: the baselines, keyed by the names of their sections.
        inputs: what they are made from.
        channels_last: True to store their networks in the channels-last memory format, which
            determines the order of float sums.

    Raises:
        PluginError: if a baseline fails; the message names its distribution and the line.
    """
    made = {}
    for name, baseline in baselines.items():
        with (
            name_section(f"baseline.{name}"),
            attribute_errors(baseline, f"while preparing the baseline '{name}'"),
        ):
            extractor = baseline.make_extractor(inputs)
        if isinstance(extractor, nn.Module):
            if channels_last:
                extractor.to(memory_format=torch.channels_last)
            network = extractor.to(inputs.device)
            features = network_features(network, inputs.transform, inputs.device)
            made[name] = Representation(_checked(features, name, baseline), network)
        else:
            made[name] = Representation(_checked(extractor, name, baseline))
    return made


def _checked(features: FeatureFunction, name: str, baseline: Baseline) -> FeatureFunction:
    """Return a feature function whose errors and results of a wrong shape name the baseline."""

    def checked(images: Tensor) -> Tensor:
        with attribute_errors(baseline, f"while computing features of the baseline '{name}'"):
            rows = features(images)
            if not isinstance(rows, Tensor) or rows.dim() != 2 or len(rows) != len(images):
                shape = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
                raise ContractError(
                    f"the extractor of the baseline '{name}' ({type(baseline).__qualname__}) "
                    f"returned {shape} for {len(images)} images; return features (B, D)"
                )
            return rows

    return checked

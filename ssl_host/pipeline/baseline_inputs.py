"""Give baselines the images and networks of a run, and check early that they can be computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import Experiment, build_backbone, compose_method
from ssl_host.config.error_locations import locate_errors
from ssl_host.config.named_sections import named_section
from ssl_host.contracts.baseline import BaselineInputs
from ssl_host.contracts.networks import Backbone
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.evaluate.banks import FeatureBankBuilder
from ssl_host.evaluate.representations import make_representations
from ssl_host.pipeline.network_weights import load_section_weights
from ssl_host.weights import load_backbone


def make_bank_builder(experiment: Experiment, images: OpenedDatasets) -> FeatureBankBuilder:
    """Return the builder of feature banks for the images of a run."""
    num_classes, seed = len(images.classes), experiment.config.run.seed
    return FeatureBankBuilder(experiment.views, images.probe, images.test, num_classes, seed)


def make_baseline_inputs(
    experiment: Experiment,
    builder: FeatureBankBuilder,
    device: torch.device,
    catalog: Catalog,
    warn: Callable[[str], None] = lambda _: None,
) -> BaselineInputs:
    """Return what baselines can be made from: the run's images, its transform and its networks.

    Args:
        experiment: the components of the run.
        builder: the images that are evaluated, and the transform that makes a network's input.
        device: the device of the trained network.
        catalog: the catalog of installed components.
        warn: a function that is called with a warning about a network without weights.
    """
    config, views, plan = experiment.config, experiment.views, experiment.plan

    def untrained() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            method = compose_method(config, plan)
        network: nn.Module = getattr(method, method.encoder)
        if config.trainer.channels_last is True:
            network.to(memory_format=torch.channels_last)
        return network.to(device)

    def backbone(name: str, image_size: int) -> Backbone:
        section = named_section("backbone", name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            network = build_backbone(config, section, replace(plan, image_size=image_size), {})
        if load_section_weights(network, config.components[section], catalog) is None:
            warn(
                f"the network [{section}] has random weights; set init_from or pretrained = true "
                "in its section"
            )
        return network.to(device).eval()

    return BaselineInputs(
        train_images=builder.train.images,
        transform=builder.eval_transform,
        image_size=views.image_size,
        channels=plan.channels,
        mean=tuple(views.mean),
        std=tuple(views.std),
        device=device,
        untrained=untrained,
        backbone=backbone,
        load_backbone=lambda path: load_backbone(path, catalog).to(device),
    )


def check_baselines(experiment: Experiment, images: OpenedDatasets, catalog: Catalog) -> list[str]:
    """Make the baselines that name other sections once, before the run trains.

    Missing weights or a failing download are then found before hours of training, not after.

    Returns:
        A warning for each network without weights.

    Raises:
        UserError: if a network cannot be built, or its weights cannot be found.
        CheckpointError: if its weights are damaged or do not fit.
    """
    warnings: list[str] = []
    named = {name: b for name, b in experiment.baselines.items() if type(b).named_sections}
    builder = make_bank_builder(experiment, images)
    device = torch.device("cpu")
    inputs = make_baseline_inputs(experiment, builder, device, catalog, warnings.append)
    with locate_errors(experiment.config):
        make_representations(named, inputs)
    return warnings

"""Evaluate a trained network and its baselines with all evaluators."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from ssl_host.augment.executor import ViewMaker, evaluation_view
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import Experiment
from ssl_host.config.error_locations import locate_errors
from ssl_host.contracts.evaluation import Evaluator
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.data.store import ImageStore
from ssl_host.errors import RunError
from ssl_host.evaluate.measure import Measurement, measure
from ssl_host.evaluate.representations import Representation, make_representations
from ssl_host.pipeline.baseline_inputs import make_bank_builder, make_baseline_inputs
from ssl_host.pipeline.other_images import notes_on_images, open_other_images
from ssl_host.weights import load_backbone

CHECKED_IMAGES = 16
"""Number of images on which a saved backbone is compared with the trained one."""
MAX_SAVING_ERROR = 1e-3
"""Largest allowed relative difference between the features of the saved and the trained backbone.

It is not 0, because the memory layout changes the last digits.
"""


def evaluate_network(
    experiment: Experiment,
    images: OpenedDatasets,
    encoder: torch.nn.Module,
    catalog: Catalog,
    report_progress: Callable[[str], None],
    scratch: Path,
) -> Measurement:
    """Run all evaluators on the trained network and its baselines, and return the results.

    Evaluators with the setting ``data`` measure them on the images of that source.

    Args:
        experiment: the components of the run, with the evaluators and baselines.
        images: the training and test images.
        encoder: the trained network; it is copied, not changed.
        catalog: the catalog of installed components.
        report_progress: a function that is called before each measurement, with its name.
        scratch: the folder for features that do not fit in memory.
    """
    config = experiment.config
    encoder = copy.deepcopy(encoder).float()  # the run may have used any precision
    channels_last = config.trainer.channels_last is True
    if channels_last:
        # The memory layout determines the order of float sums, so all networks use the same one.
        encoder.to(memory_format=torch.channels_last)
    builder = make_bank_builder(experiment, images)
    device = next(encoder.parameters()).device
    inputs = make_baseline_inputs(experiment, builder, device, catalog)

    @cache
    def make_baselines() -> dict[str, Representation]:
        with locate_errors(config):
            return make_representations(experiment.baselines, inputs, channels_last)

    data = {c.instance: c.data for c in config.of_kind("evaluator")}
    by_data: dict[str | None, dict[str, Evaluator]] = {None: {}}  # the bank of [data] is shown
    for name, evaluator in experiment.evaluators.items():
        by_data.setdefault(data[name], {})[name] = evaluator
    own = by_data.pop(None)
    measurement = measure(own, encoder, make_baselines, builder, report_progress, scratch)
    for source, evaluators in by_data.items():
        report_progress(f"the images of {source}")
        others = open_other_images(experiment, str(source))
        builder = make_bank_builder(experiment, others)
        more = measure(evaluators, encoder, make_baselines, builder, report_progress, scratch)
        measurement.add_all(more)
        measurement.notes += notes_on_images(str(source), others)
    return measurement


@torch.no_grad()
def check_saved_backbone(
    folder: Path,
    encoder: torch.nn.Module,
    images: ImageStore,
    views: ViewMaker,
    catalog: Catalog,
) -> None:
    """Check on one batch that the saved backbone computes the same features as the trained one.

    Args:
        folder: the run folder, which contains the saved backbone.
        encoder: the trained network.
        images: the images from which the batch is taken.
        views: image size, mean and standard deviation of the run's views.
        catalog: the catalog of installed components.

    Raises:
        RunError: if the features differ, for example because ``export`` leaves out a layer.
    """
    saved = load_backbone(folder, catalog)
    pixels = images.images[torch.arange(min(len(images), CHECKED_IMAGES))]
    batch = evaluation_view(pixels, views.image_size, views.mean, views.std)
    network = copy.deepcopy(encoder).float().eval().cpu()
    expected, actual = network(batch), saved(batch)
    error = float((actual - expected).norm() / expected.norm().clamp_min(1e-12))
    if not error <= MAX_SAVING_ERROR:
        raise RunError(
            f"the backbone saved in {folder} does not compute the same features as the trained "
            f"backbone (they differ by {100 * error:.2g} %); {type(encoder).__qualname__}.export() "
            "must return the whole network"
        )

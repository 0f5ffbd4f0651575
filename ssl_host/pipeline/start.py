"""Load the weights that a run starts from, and print what is going to be trained."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import Experiment, num_trainable_parameters
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.method import Method
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.initial_weights import load_run_weights
from ssl_host.pipeline.run_metrics import trained_on_same_dataset
from ssl_host.toolkit.plurals import pluralize


def load_starting_weights(
    method: Method, config: RunConfig, catalog: Catalog, has_test: bool
) -> list[str]:
    """Load the weights that ``[run] init_from`` names into the backbone and its EMA copies.

    Args:
        method: the SSL method.
        config: the configuration of the run.
        catalog: the catalog of installed components.
        has_test: True if there are held-out images.

    Returns:
        Notes on the weights; none if ``init_from`` is not set.

    Raises:
        UserError: if the weights cannot be found.
        CheckpointError: if the weights cannot be read or do not fit.
    """
    path = config.run.init_from
    if path is None:
        return []
    notes = [load_run_weights(method.backbone, config.run, catalog)]
    if has_test and not trained_on_same_dataset(path, config):
        notes.append(
            "the initial weights are not from a run on the same images: they may have been "
            "trained on the test images, in which case the metrics are too high"
        )
    for name in method.ema:
        source, target = getattr(method, name), getattr(method, f"ema_{name}")
        target.load_state_dict(source.state_dict())
    return notes


def print_start(
    console: Console,
    experiment: Experiment,
    images: OpenedDatasets,
    notes: Sequence[str],
    warnings: Sequence[str],
) -> list[str]:
    """Print the run's components and size, notes, warnings, and how many images are skipped.

    Args:
        console: the console.
        experiment: the components of the run, with notes of their own.
        images: the images, with notes and warnings of their own.
        notes: further notes.
        warnings: further warnings.

    Returns:
        The notes and warnings that were printed.
    """
    config = experiment.config
    num_test = "no" if images.test is None else str(len(images.test))
    parameters = num_trainable_parameters(experiment.method)
    epochs = pluralize(config.run.epochs, "epoch")
    steps = pluralize(len(images.train) // config.run.batch_size, "step")
    console.print(
        f"{config.run.name}: {config.components['method'].name} with "
        f"{config.components['backbone'].name} on {len(images.train)} images of "
        f"{config.components['data'].name} ({num_test} test images), {epochs} of {steps}, "
        f"{parameters:,} parameters, {config.trainer.accelerator} {config.trainer.precision}",
    )
    all_notes = [*config.notes, *experiment.notes, *images.notes, *notes]
    for note in all_notes:
        console.print(f"note: {note}", soft_wrap=True)
    all_warnings = [*warnings, *images.warnings]
    for warning in all_warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    skipped = images.skipped()
    if skipped:
        name, reason = skipped[0]
        console.print(
            f"warning: {len(skipped)} images cannot be read and are skipped, for example "
            f"{name} ({reason}); results.json lists them",
            style="yellow",
        )
    return [*all_notes, *all_warnings]

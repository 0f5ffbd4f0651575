"""Images of data sources ``[data.NAME]`` on which evaluators measure the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.compose import Experiment
from ssl_host.config.error_locations import locate_errors, name_section
from ssl_host.config.named_sections import named_section
from ssl_host.config.run_config import RunConfig
from ssl_host.data.datasets import OpenedDatasets, Progress, open_datasets
from ssl_host.data.splits import Splits, open_splits
from ssl_host.errors import UserError
from ssl_host.evaluate.measure import skip_reason


def check_other_images(experiment: Experiment) -> list[str]:
    """List the images of all further sources once, so that errors are found before training.

    Returns:
        Warnings about evaluators that will be skipped.

    Raises:
        UserError: if the images of a source cannot be listed, or an evaluator cannot measure them;
            the message has file and line.
    """
    config = experiment.config
    warnings = []
    for name, source in experiment.other_sources.items():
        with _locate_section(config, named_section("data", name)):
            splits = open_splits(source, config.loader.holdout)
        warnings += check_evaluators(experiment, splits, name)
    return warnings


def check_evaluators(experiment: Experiment, splits: Splits, data: str | None = None) -> list[str]:
    """Let the evaluators check the images that they will measure.

    Args:
        experiment: the components of the run.
        splits: the images.
        data: setting ``data`` of the evaluators that measure these images; None for the images of
            ``[data]``.

    Returns:
        Warnings about evaluators that will be skipped, such as those that need labels.

    Raises:
        UserError: if an evaluator cannot measure its images; the message has file and line.
    """
    config = experiment.config
    skipped: dict[str, list[str]] = {}
    for component in config.of_kind("evaluator"):
        evaluator = experiment.evaluators[component.instance]
        if component.data != data:
            continue
        reason = skip_reason(
            evaluator, splits.probe.labels, len(splits.classes), splits.test is not None
        )
        if reason:
            skipped.setdefault(reason, []).append(component.instance)
            continue
        with (
            locate_errors(config, component.section),
            name_section(component.section),
            attribute_errors(evaluator, "while checking its images"),
        ):
            evaluator.check(splits.probe, splits.test)
    where = "" if data is None else f"[{named_section('data', data)}] "
    return [f"{where}{', '.join(n)} will be skipped: {why}" for why, n in skipped.items()]


def open_other_images(
    experiment: Experiment, name: str, progress: Progress | None = None
) -> OpenedDatasets:
    """Open the images of the section ``[data.NAME]`` with the settings of ``[loader]``.

    Args:
        experiment: the components of the run.
        name: NAME, as in the evaluator's setting ``data``.
        progress: function that is called after each packed image.

    Raises:
        UserError: if the images cannot be opened; the message has file and line.
    """
    config, source = experiment.config, experiment.other_sources[name]
    with _locate_section(config, named_section("data", name)):
        return open_datasets(source, experiment.views, config.loader, progress)


def notes_on_images(name: str, images: OpenedDatasets) -> list[str]:
    """Return remarks on the images of ``[data.NAME]`` for the report, which name the section."""
    section = named_section("data", name)
    notes = [note.replace("[data]", f"[{section}]") for note in (*images.notes, *images.warnings)]
    if skipped := images.skipped():
        image, reason = skipped[0]
        notes.append(f"{len(skipped)} images cannot be read, for example {image} ({reason})")
    return [f"[{section}]: {note}" for note in notes]


@contextmanager
def _locate_section(config: RunConfig, section: str) -> Iterator[None]:
    """Make errors about ``[data]`` name the section whose images are opened, and locate them."""
    with locate_errors(config, section):
        try:
            yield
        except UserError as error:
            error.args = (str(error).replace("[data]", f"[{section}]"),)
            raise

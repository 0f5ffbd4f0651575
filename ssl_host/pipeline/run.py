"""Run a configuration: train the remaining epochs, evaluate, and write the results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ssl_host.augment.executor import ViewMaker
from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.compose import Experiment, compose, compose_data
from ssl_host.config.auto_settings import require_device, resolve_auto
from ssl_host.config.error_locations import locate_errors
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.data import DataSource
from ssl_host.contracts.logging import Logger
from ssl_host.data.datasets import OpenedDatasets, open_datasets
from ssl_host.data.splits import Splits, open_splits
from ssl_host.pipeline.advice import give_advice
from ssl_host.pipeline.baseline_inputs import check_baselines
from ssl_host.pipeline.continuation import (
    continuation_note,
    finished_run,
    prepare_continuation,
)
from ssl_host.pipeline.environment import describe_environment
from ssl_host.pipeline.evaluation import check_saved_backbone, evaluate_network
from ssl_host.pipeline.listing import ListingProgress, read_listing, share_listing
from ssl_host.pipeline.monitoring import make_periodic_evaluation, monitoring_notes
from ssl_host.pipeline.network_weights import load_frozen_weights
from ssl_host.pipeline.other_images import check_evaluators, check_other_images
from ssl_host.pipeline.results import describe_run, make_results, write_results
from ssl_host.pipeline.run_metrics import (
    data_bottleneck_hint,
    online_accuracy,
    resource_metrics,
)
from ssl_host.pipeline.start import load_starting_weights, print_start
from ssl_host.preflight import check_labels, config_warnings
from ssl_host.run_folder.folder import RunFolder, move_aside
from ssl_host.toolkit.atomic_io import report_disk_errors
from ssl_host.toolkit.console import make_console
from ssl_host.train.loop import TrainingResult, fit
from ssl_host.train.signals import preemptible
from ssl_host.train.state import TrainingState
from ssl_host.train.trainer_setup import is_first_process
from ssl_host.weights import save_backbone


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run: its folder and results.

    Attributes:
        folder: the run folder.
        results: the content of ``results.json``; empty in all processes except rank 0.
        was_finished: True if the run was already finished, so nothing was computed.
        printed: notes that were already printed on the console.
    """

    folder: Path
    results: dict[str, Any]
    was_finished: bool = False
    printed: tuple[str, ...] = ()


def run_config(
    config: RunConfig, catalog: Catalog, console: Console | None = None, fresh: bool = False
) -> Outcome:
    """Run a configuration or resume it: train, evaluate and write the results and report.

    Args:
        config: the configuration of the run.
        catalog: the catalog of installed components.
        console: the console on which progress is printed; None means no output.
        fresh: True to rename the folder of an earlier run and start again.

    Returns:
        The run folder and the results; those of a finished run are read from its folder.

    Raises:
        UserError: if the configuration, the data, a plugin or the run folder cannot be used.
        RunError: if the run fails.
    """
    with locate_errors(config):
        return _run_config(config, catalog, console or make_console(quiet=True), fresh)


def _run_config(config: RunConfig, catalog: Catalog, console: Console, fresh: bool) -> Outcome:
    """Run or resume a configuration and return its outcome; see :func:`run_config`."""
    config = resolve_auto(config)
    catalog.call("config_resolved", config=config.values())
    path = config.run.folder
    # Lightning starts this command again for each additional process on a node.
    if not is_first_process():
        folder = RunFolder(path)
        with preemptible():
            config = prepare_continuation(config)
            config = config if fresh else folder.restore_auto(config)
            return _Runner(config, catalog, make_console(quiet=True), folder).run()
    if fresh:
        old_run = move_aside(path)
        if old_run is not None:
            console.print(f"the folder of the earlier run was renamed to {old_run}")
    config = prepare_continuation(config)  # before the folder is created
    with preemptible(), RunFolder(path) as folder, report_disk_errors(path):
        config = folder.claim(config)
        results = folder.results()
        if results is not None:
            return Outcome(path, results, was_finished=True)
        require_device(config, path)
        return _Runner(config, catalog, console, folder).run()


class _Runner:
    """Training, evaluation and report of one run; rank 0 has locked the run folder."""

    def __init__(
        self, config: RunConfig, catalog: Catalog, console: Console, folder: RunFolder
    ) -> None:
        self.config = config
        self.catalog = catalog
        self.console = console
        self.folder = folder
        self.start_time = time.monotonic()
        self.description = describe_run(config, folder.path)
        self.continued = finished_run(config)
        self.notes = list(config.notes)
        self.printed: list[str] = []
        self.started_loggers: list[Logger] = []

    def run(self) -> Outcome:
        """Run all stages and return the outcome; finish the loggers even if a stage fails."""
        # This is set before anything is computed, because it determines the order of float sums.
        torch.set_num_threads(int(self.config.trainer.num_threads))
        source, views = compose_data(self.config)
        splits = None if is_first_process() else read_listing(self.folder.path)
        if splits is None:
            progress = ListingProgress(self.console)
            splits = open_splits(source, self.config.loader.holdout, progress)
        with ExitStack() as stack:
            if is_first_process() and self.config.trainer.num_processes > 1:
                stack.enter_context(share_listing(splits, self.folder.path))
            return self._train_and_evaluate(source, views, splits)

    def _train_and_evaluate(self, source: DataSource, views: ViewMaker, splits: Splits) -> Outcome:
        """Train and evaluate on the listed images; return the outcome."""
        # Build everything before decoding, which may take hours, so that errors are found early.
        experiment = compose(self.config, (source, views), len(splits.train))
        check_labels(self.config, experiment.method, splits.train.labels)
        skipped: list[str] = []
        if is_first_process():
            skipped = [*check_evaluators(experiment, splits), *check_other_images(experiment)]
        images = open_datasets(source, views, self.config.loader, self._report_packing, splits)
        if len(images.train) != len(splits.train):
            # A method may need the number of images, and some could not be read.
            experiment = compose(self.config, (source, views), len(images.train))
        self.notes += [*experiment.notes, *images.notes, *images.warnings]
        check_labels(self.config, experiment.method, images.train.labels)
        if is_first_process():
            self._claim_images(images)
        warnings = list(config_warnings(self.config, experiment.method))
        if is_first_process():
            warnings += check_baselines(experiment, images, self.catalog)
        loaded, unloaded = load_frozen_weights(experiment.method, self.config, self.catalog)
        warnings += unloaded
        self.notes += [*warnings, *loaded]
        start = load_starting_weights(
            experiment.method, self.config, self.catalog, images.test is not None
        )
        self.notes += start
        self.printed += print_start(
            self.console, experiment, images, [*loaded, *start], [*warnings, *skipped]
        )
        try:
            training = self._train(experiment, images)
            if not training.is_first:
                return Outcome(self.folder.path, {})
            for hint in data_bottleneck_hint(images, training.data_wait_fraction):
                self._note(hint, "hint")
            results = self._evaluate(experiment, images, training)
        except BaseException:
            with suppress(Exception):  # keep the original exception
                self._finish_loggers(None)
            raise
        self._finish_loggers(results)
        self.catalog.call("run_finished", run=self.description, results=results)
        return Outcome(self.folder.path, dict(results), printed=tuple(self.printed))

    def _note(self, text: str, kind: str = "note") -> None:
        """Print a note, and keep it for the report."""
        self.notes.append(text)
        self.printed.append(text)
        style = None if kind == "note" else "yellow"
        self.console.print(f"{kind}: {text}", style=style, soft_wrap=True)

    def _claim_images(self, images: OpenedDatasets) -> None:
        """Store the fingerprint of the images, or warn if it has changed since the run started."""
        fingerprint = images.fingerprint()
        change = None
        if self.continued is not None:
            change = self.continued.folder.check_images(fingerprint)
        change = self.folder.claim_images(fingerprint) or change
        if change is not None:
            self._note(change, "warning")

    def _finish_loggers(self, results: Mapping[str, Any] | None) -> None:
        """Call ``finish`` on all started loggers; ``results`` is None if the run failed."""
        for logger in self.started_loggers:
            with attribute_errors(logger, "in finish"):
                logger.finish(results)

    def _report_packing(self, what: str, done: int, total: int) -> None:
        """Print the number of decoded images after every 1000 images."""
        if done == total or done % 1000 == 0:
            self.console.print(f"decoding {what}: {done} of {total}")

    def _train(self, experiment: Experiment, images: OpenedDatasets) -> TrainingResult:
        """Train the remaining epochs and return the result; loggers start at the resumed step."""

        def on_start(state: TrainingState) -> None:
            if not is_first_process():
                return
            if self.continued is not None:
                self._note(continuation_note(self.continued.folder.path, state))
            for logger in experiment.loggers.values():
                with attribute_errors(logger, "in start"):
                    logger.start(replace(self.description, resumed_step=state.step))
                self.started_loggers.append(logger)

        plugin_callbacks = self.catalog.collect("training_callbacks", run=self.description)
        return fit(
            experiment,
            images.make_loader,
            images.train.images,
            images.num_probe_classes,
            self.folder.checkpoints,
            self.console,
            plugin_callbacks,
            images.train.image_name,
            on_start,
            None if self.continued is None else self.continued.read_checkpoint,
            make_periodic_evaluation(experiment, images, self.folder.path),
        )

    def _evaluate(
        self, experiment: Experiment, images: OpenedDatasets, training: TrainingResult
    ) -> dict[str, Any]:
        """Write the backbone, run the evaluators, write the report, and return the results."""
        method, source, timer = experiment.method, experiment.source, training.state.timer
        encoder = getattr(method, method.encoder)
        save_backbone(
            encoder,
            self.config,
            source.mean,
            source.std,
            self.folder.path,
            images.splits.train.fit,
            images.splits.train.value_range,
        )
        check_saved_backbone(
            self.folder.path, encoder, images.probe, experiment.views, self.catalog
        )
        measurement = evaluate_network(
            experiment, images, encoder, self.catalog, self._report_evaluation, self.folder.path
        )
        self.notes += measurement.notes
        self.notes += monitoring_notes(training.state, self.config)
        metrics = dict(online_accuracy(training, measurement, self.config.run.epochs))
        metrics |= {**measurement.metrics, **resource_metrics(training)}
        wall_time_s = timer.earlier_s + time.monotonic() - self.start_time
        results = make_results(
            experiment,
            images,
            training.state,
            metrics,
            wall_time_s,
            self.notes,
            measurement.notes,
        )
        results["advice"] = give_advice(self.folder.path, experiment, images, results)
        self._report_evaluation("the report")
        environment = describe_environment(self.config, self.catalog)
        write_results(
            self.folder, experiment, images, measurement, results, self.catalog, environment
        )
        return results

    def _report_evaluation(self, what: str) -> None:
        """Print the name of the next evaluation."""
        self.console.print(f"evaluating: {what}", style="dim")

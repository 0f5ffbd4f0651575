"""One run: train what is left to train, measure, write everything down."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.compose import Experiment, compose, compose_method
from ssl_host.config.auto_settings import require_device, resolve_auto
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.logging import Logger, Run
from ssl_host.contracts.method import Method
from ssl_host.data.datasets import OpenedDatasets, open_datasets
from ssl_host.evaluate.measure import Measurement, measure
from ssl_host.pipeline.environment import describe
from ssl_host.pipeline.run_metrics import (
    data_bottleneck_hint,
    number,
    resource_metrics,
    same_dataset,
)
from ssl_host.report.images import draw_pictures
from ssl_host.report.page import write_page
from ssl_host.run_folder.folder import RunFolder, move_aside
from ssl_host.toolkit.atomic_io import report_disk_errors
from ssl_host.toolkit.console import make_console
from ssl_host.toolkit.weights_io import write_tensors
from ssl_host.train.loop import Training, fit
from ssl_host.train.signals import preemptible
from ssl_host.train.trainer_setup import is_first_process, num_processes
from ssl_host.weights import load_initial_weights, save_backbone


@dataclass(frozen=True)
class Outcome:
    """What a run has left.

    Attributes:
        folder: the run's folder.
        results: what ``results.json`` holds.
        was_finished: whether there was nothing left to do.
    """

    folder: Path
    results: dict[str, Any]
    was_finished: bool = False


def run_config(
    config: RunConfig, catalog: Catalog, console: Console | None = None, fresh: bool = False
) -> Outcome:
    """Run a configuration in its folder, going on where an earlier process stopped.

    Args:
        console: where progress is told; silent without.
        fresh: move what the folder holds aside and begin anew.

    Raises:
        UserError: when something that was given is wrong.
        RunError: when the run fails.
    """
    console = console or make_console(quiet=True)
    config = resolve_auto(config)
    catalog.call("config_resolved", config=config.values())
    path = Path(config.run.dir) / config.run.name
    # Lightning starts this very command again for every further process of a node.
    if not is_first_process():
        folder = RunFolder(path)
        with preemptible():
            config = config if fresh else folder.settled(config)
            return _Run(config, catalog, make_console(quiet=True), folder).go()
    if fresh:
        aside = move_aside(path)
        if aside is not None:
            console.print(f"the earlier run was moved to {aside}")
    with preemptible(), RunFolder(path) as folder, report_disk_errors(path):
        config = folder.claim(config)
        results = folder.results()
        if results is not None:
            return Outcome(path, results, was_finished=True)
        require_device(config, path)
        return _Run(config, catalog, console, folder).go()


class _Run:
    def __init__(
        self, config: RunConfig, catalog: Catalog, console: Console, folder: RunFolder
    ) -> None:
        self.config = config
        self.catalog = catalog
        self.console = console
        self.folder = folder
        self.begun = time.monotonic()
        self.run = Run(config.run.name, folder.path, config.run.seed, config.values())
        self.notes = list(config.notes)
        self.started: list[Logger] = []

    def go(self) -> Outcome:
        # One count of threads from the first number on: it decides the order of float sums.
        torch.set_num_threads(int(self.config.trainer.num_threads))
        experiment = compose(self.config)
        images = open_datasets(
            experiment.source, experiment.views, self.config.loader, self._packing
        )
        self.notes += images.notes
        if is_first_process():
            self.folder.claim_images(images.fingerprint())
        with attribute_errors(experiment.method, "while giving its remarks"):
            self.notes += experiment.method.config_warnings(num_processes(experiment))
        self._start_from(experiment.method, images)
        self._tell_plan(experiment, images)
        try:
            training = self._train(experiment, images)
            if not training.is_first:
                return Outcome(self.folder.path, {})
            for hint in data_bottleneck_hint(images, training.data_wait_fraction):
                self.notes.append(hint)
                self.console.print(f"hint: {hint}", style="yellow")
            finished = self._conclude(experiment, images, training)
        except BaseException:
            # What went wrong first is what is told.
            with suppress(Exception):
                self._finish_loggers(None)
            raise
        self._finish_loggers(finished)
        self.catalog.call("run_finished", run=self.run, results=finished)
        return Outcome(self.folder.path, dict(finished))

    def _finish_loggers(self, results: Mapping[str, Any] | None) -> None:
        for logger in self.started:
            with attribute_errors(logger, "while finishing"):
                logger.finish(results)

    def _packing(self, what: str, done: int, total: int) -> None:
        if done == total or done % 1000 == 0:
            self.console.print(f"decoding {what}: {done} of {total}")

    def _start_from(self, method: Method, images: OpenedDatasets) -> None:
        path = self.config.run.init_from
        if path is None:
            return
        self.notes.append(load_initial_weights(method.backbone, path))
        if images.test is not None and not same_dataset(path, self.config):
            self.notes.append(
                "the weights it starts from were trained elsewhere: whether on the held-out "
                "images too is not known, and then the figures would be too high"
            )
        for name in method.ema:
            source, target = getattr(method, name), getattr(method, f"ema_{name}")
            target.load_state_dict(source.state_dict())

    def _tell_plan(self, experiment: Experiment, images: OpenedDatasets) -> None:
        config = self.config
        held = "none" if images.test is None else str(len(images.test))
        parameters = sum(p.numel() for _, p in experiment.method.trainable_parameters())
        self.console.print(
            f"{config.run.name}: {config.components['method'].name} with "
            f"{config.components['backbone'].name} on {len(images.train)} images of "
            f"{config.components['data'].name} ({held} held out), {config.run.epochs} epochs of "
            f"{len(images.train) // config.run.batch_size} steps, {parameters:,} parameters, "
            f"{config.trainer.accelerator} {config.trainer.precision}",
        )
        for note in (*config.notes, *images.notes):
            self.console.print(f"note: {note}")
        skipped = images.skipped()
        if skipped:
            name, reason = skipped[0]
            self.console.print(
                f"warning: {len(skipped)} images could not be read and are left out, such as "
                f"{name}: {reason}; results.json lists them",
                style="yellow",
            )

    def _train(self, experiment: Experiment, images: OpenedDatasets) -> Training:
        def begin(step: int) -> None:
            if is_first_process():
                for logger in experiment.loggers.values():
                    with attribute_errors(logger, "while starting"):
                        logger.start(replace(self.run, resumed_step=step))
                    self.started.append(logger)

        extra: list[pl.Callback] = []
        for callbacks in self.catalog.call("training_callbacks", run=self.run):
            extra += callbacks
        return fit(
            experiment,
            images.make_loader,
            len(images.train),
            len(images.classes) if images.train.labels is not None else 0,
            self.folder.checkpoints,
            self.console,
            extra,
            images.train.image_name,
            begin,
        )

    def _conclude(
        self, experiment: Experiment, images: OpenedDatasets, training: Training
    ) -> dict[str, Any]:
        method = training.module.method
        encoder = getattr(method, method.encoder)
        source = experiment.source
        save_backbone(encoder, self.config, source.mean, source.std, self.folder.path)
        found = evaluate_network(experiment, images, encoder, self._say, self.folder.path)
        self.notes += found.notes
        if training.probe is not None and self.config.run.epochs and found.bank is not None:
            held = found.bank.test
            if held is not None and held.y is not None:
                right = training.probe.predict(held.x).argmax(dim=1).cpu() == held.y
                found.metrics = {"online.top1": float(right.double().mean()), **found.metrics}
        metrics = {**found.metrics, **resource_metrics(training)}
        for stem, tensors in found.artifacts.items():
            write_tensors(self.folder.path / f"{stem}.safetensors", tensors)
        results = {
            "name": self.config.run.name,
            "method": self.config.components["method"].name,
            "backbone": self.config.components["backbone"].name,
            "data": self.config.components["data"].name,
            "seed": self.config.run.seed,
            "epochs": self.config.run.epochs,
            "steps": training.module.step,
            "images": {
                "train": len(images.train),
                "probe": len(images.probe),
                "test": None if images.test is None else len(images.test),
            },
            "classes": list(images.classes),
            "metrics": {name: number(value) for name, value in metrics.items()},
            "wall_time_s": round(training.clock.earlier_s + time.monotonic() - self.begun, 2),
            "notes": list(dict.fromkeys(self.notes)),
            "skipped": [{"image": name, "reason": reason} for name, reason in images.skipped()],
        }
        self._say("the report")
        self.folder.write_json("environment.json", describe(self.config, self.catalog))
        pictures = draw_pictures(experiment.views, images, found.bank, self.config.run.seed)
        self.folder.write_json("report.json", pictures)
        sections = self.catalog.call("report_sections", run=self.run, results=results)
        flat = [section for plugin in sections for section in plugin]
        write_page(self.folder.path, results, self.config, flat)
        # Last, for a run that has results.json is finished.
        self.folder.write_json("results.json", results)
        return results

    def _say(self, what: str) -> None:
        self.console.print(f"measuring: {what}", style="dim")


def evaluate_network(
    experiment: Experiment,
    images: OpenedDatasets,
    encoder: torch.nn.Module,
    tell: Callable[[str], None],
    scratch: Path,
) -> Measurement:
    """All evaluators on a network, beside the same network as it was initialised."""
    source = experiment.source
    fresh = compose_method(experiment.config, source.channels, source.image_size)
    untrained = getattr(fresh, fresh.encoder)
    encoder = copy.deepcopy(encoder).float()  # of any precision, and left as it was
    if experiment.config.trainer.channels_last is True:
        # The layout decides the order of float sums: one for all, whoever trained it.
        encoder.to(memory_format=torch.channels_last)
        untrained.to(memory_format=torch.channels_last)
    return measure(
        experiment.evaluators,
        encoder,
        untrained,
        experiment.views,
        images.probe,
        images.test,
        len(images.classes),
        experiment.config.run.seed,
        tell,
        scratch,
    )

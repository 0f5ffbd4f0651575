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

from ssl_host.catalog.blame import blamed
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import Experiment, compose, compose_method
from ssl_host.config.resolved import Resolved
from ssl_host.contracts.logging import Logger, Run
from ssl_host.contracts.method import Method
from ssl_host.data.opening import Images, open_images
from ssl_host.evaluate.measure import Measurement, measure
from ssl_host.pipeline.environment import describe
from ssl_host.pipeline.figures import costs, held_back, number, same_images
from ssl_host.report.page import write_page
from ssl_host.report.pictures import draw_pictures
from ssl_host.toolkit.screen import plain_console
from ssl_host.toolkit.storage import storage_faults_told
from ssl_host.toolkit.tensor_files import write_tensors
from ssl_host.train.fit import Training, fit
from ssl_host.train.folder import RunFolder, move_aside
from ssl_host.train.preparation import is_first_process, num_processes
from ssl_host.train.settle import require_device, settle
from ssl_host.train.surroundings import preemptible
from ssl_host.weights import initialise, save_backbone


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
    config: Resolved, catalog: Catalog, console: Console | None = None, fresh: bool = False
) -> Outcome:
    """Run a configuration in its folder, going on where an earlier process stopped.

    Args:
        console: where progress is told; silent without.
        fresh: move what the folder holds aside and begin anew.

    Raises:
        UserError: when something that was given is wrong.
        RunError: when the run fails.
    """
    console = console or plain_console(quiet=True)
    config = settle(config)
    catalog.hooks.config_resolved(config=config.values())
    path = Path(config.run.dir) / config.run.name
    # Lightning starts this very command again for every further process of a node.
    if not is_first_process():
        folder = RunFolder(path)
        with preemptible():
            config = config if fresh else folder.settled(config)
            return _Run(config, catalog, plain_console(quiet=True), folder).go()
    if fresh:
        aside = move_aside(path)
        if aside is not None:
            console.print(f"the earlier run was moved to {aside}")
    with preemptible(), RunFolder(path) as folder, storage_faults_told(path):
        config = folder.adopt(config)
        results = folder.results()
        if results is not None:
            return Outcome(path, results, was_finished=True)
        require_device(config, path)
        return _Run(config, catalog, console, folder).go()


class _Run:
    def __init__(
        self, config: Resolved, catalog: Catalog, console: Console, folder: RunFolder
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
        images = open_images(experiment.source, experiment.views, self.config.loader, self._packing)
        self.notes += images.notes
        if is_first_process():
            self.folder.adopt_images(images.identity())
        with blamed(experiment.method, "while giving its remarks"):
            self.notes += experiment.method.remarks(num_processes(experiment))
        self._start_from(experiment.method, images)
        self._tell_plan(experiment, images)
        try:
            training = self._train(experiment, images)
            if not training.is_first:
                return Outcome(self.folder.path, {})
            for hint in held_back(images, training.data_wait_fraction):
                self.notes.append(hint)
                self.console.print(f"hint: {hint}", style="yellow")
            finished = self._conclude(experiment, images, training)
        except BaseException:
            # What went wrong first is what is told.
            with suppress(Exception):
                self._finish_loggers(None)
            raise
        self._finish_loggers(finished)
        self.catalog.hooks.run_finished(run=self.run, results=finished)
        return Outcome(self.folder.path, dict(finished))

    def _finish_loggers(self, results: Mapping[str, Any] | None) -> None:
        for logger in self.started:
            with blamed(logger, "while finishing"):
                logger.finish(results)

    def _packing(self, what: str, done: int, total: int) -> None:
        if done == total or done % 1000 == 0:
            self.console.print(f"decoding {what}: {done} of {total}")

    def _start_from(self, method: Method, images: Images) -> None:
        path = self.config.run.init_from
        if path is None:
            return
        self.notes.append(initialise(method.backbone, path))
        if images.test is not None and not same_images(path, self.config):
            self.notes.append(
                "the weights it starts from were trained elsewhere: whether on the held-out "
                "images too is not known, and then the figures would be too high"
            )
        for name in method.momentum:
            source, target = getattr(method, name), getattr(method, f"momentum_{name}")
            target.load_state_dict(source.state_dict())

    def _tell_plan(self, experiment: Experiment, images: Images) -> None:
        config = self.config
        held = "none" if images.test is None else str(len(images.test))
        parameters = sum(p.numel() for _, p in experiment.method.trainable_parameters())
        self.console.print(
            f"{config.run.name}: {config.parts['method'].name} with "
            f"{config.parts['backbone'].name} on {len(images.train)} images of "
            f"{config.parts['data'].name} ({held} held out), {config.run.epochs} epochs of "
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

    def _train(self, experiment: Experiment, images: Images) -> Training:
        def begin(step: int) -> None:
            if is_first_process():
                for logger in experiment.loggers.values():
                    with blamed(logger, "while starting"):
                        logger.start(replace(self.run, resumed_step=step))
                    self.started.append(logger)

        extra: list[pl.Callback] = []
        for callbacks in self.catalog.hooks.training_callbacks(run=self.run):
            extra += callbacks
        return fit(
            experiment,
            images.make_loader,
            len(images.train),
            len(images.classes) if images.train.labels is not None else 0,
            self.folder.checkpoints,
            self.console,
            extra,
            images.train.called,
            begin,
        )

    def _conclude(
        self, experiment: Experiment, images: Images, training: Training
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
        metrics = {**found.metrics, **costs(training)}
        for stem, tensors in found.artifacts.items():
            write_tensors(self.folder.path / f"{stem}.safetensors", tensors)
        results = {
            "name": self.config.run.name,
            "method": self.config.parts["method"].name,
            "backbone": self.config.parts["backbone"].name,
            "data": self.config.parts["data"].name,
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
        sections = self.catalog.hooks.report_sections(run=self.run, results=results)
        flat = [section for plugin in sections for section in plugin]
        write_page(self.folder.path, results, self.config, flat)
        # Last, for a run that has results.json is finished.
        self.folder.write_json("results.json", results)
        return results

    def _say(self, what: str) -> None:
        self.console.print(f"measuring: {what}", style="dim")


def evaluate_network(
    experiment: Experiment,
    images: Images,
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

"""Train a method to the end, starting from the newest checkpoint in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console

from ssl_host.compose import Experiment
from ssl_host.config.run_config import RunConfig
from ssl_host.data.batches import EpochPlan
from ssl_host.data.store import PixelArray
from ssl_host.errors import RunError
from ssl_host.toolkit.distributed import is_lost_process
from ssl_host.train.callbacks import TrainingCallback
from ssl_host.train.checkpoint import describe_last_checkpoint, load_latest_checkpoint
from ssl_host.train.failed_step import remove_failed_steps
from ssl_host.train.metrics import MetricsLogger
from ssl_host.train.module import MakeLoader, PretrainModule
from ssl_host.train.nonfinite import NonFiniteChecks
from ssl_host.train.periodic_evaluation import PeriodicEvaluation
from ssl_host.train.probe import OnlineProbe
from ssl_host.train.progress import ProgressBar
from ssl_host.train.signals import graceful_shutdown, quiet_lightning
from ssl_host.train.state import TrainingState
from ssl_host.train.trainer_setup import (
    is_first_process,
    make_trainer,
    prepare_networks,
    restore_lightning_counters,
)
from ssl_host.train.training_step import TrainingStep


@dataclass
class TrainingResult:
    """Result of a training: the final state, and whether this process has rank 0.

    Attributes:
        state: the training state after the last step.
        batch_size: the number of images per optimizer step, summed over all processes.
        is_first: True in the process of rank 0, which evaluates the run and writes its results.
    """

    state: TrainingState
    batch_size: int
    is_first: bool

    @property
    def images_per_s(self) -> float | None:
        """Training speed in images per second; None before the first step of this run."""
        steps, trained_s = self.state.step - self.state.first_step, self.state.timer.trained_s
        images = steps * self.batch_size
        return images / trained_s if images and trained_s else None

    @property
    def data_wait_fraction(self) -> float | None:
        """Fraction (0 to 1) of training time spent waiting for images; None without training."""
        timer = self.state.timer
        return min(1.0, timer.waited_s / timer.trained_s) if timer.trained_s else None


def fit(
    experiment: Experiment,
    make_loader: MakeLoader,
    pixels: PixelArray,
    num_classes: int,
    folder: Path,
    console: Console,
    callbacks: Sequence[pl.Callback] = (),
    image_name: Callable[[int], str] = "image {}".format,
    on_start: Callable[[TrainingState], None] = lambda _: None,
    read_start: Callable[[], dict[str, Any]] | None = None,
    evaluation: PeriodicEvaluation | None = None,
) -> TrainingResult:
    """Train the remaining epochs, starting from the newest undamaged checkpoint.

    Args:
        experiment: the method and all other components of the run.
        make_loader: a function that creates the loader of the training images.
        pixels: the training images (N, C, H, W), uint8.
        num_classes: the number of classes for the online probe; 0 means no probe.
        folder: the folder of the checkpoints.
        console: the console for progress and warnings.
        callbacks: Lightning callbacks of plugins.
        image_name: a function that takes the index of a training image and returns its name.
        on_start: a function that is called once before the first step, with the state.
        read_start: a function that returns the last checkpoint of the finished run that this run
            continues; it is called if this run has no checkpoint. None means a new network.
        evaluation: the evaluation after some epochs; None for none.

    Returns:
        The training state after the last step, and whether this process has rank 0.

    Raises:
        NonFiniteError: if the loss, a gradient or a weight is not finite.
        Preempted: if a signal asked the run to stop; the training state is saved first.
    """
    config = experiment.config
    torch.set_num_threads(int(config.trainer.num_threads))
    plan = make_plan(config, len(pixels))
    state = make_state(experiment, plan, num_classes)
    remove_failed_steps(folder.parent)
    checkpoint, warnings = load_latest_checkpoint(folder)
    for warning in warnings:
        console.print(f"warning: {warning}", style="yellow")
    if checkpoint is not None:
        state.load_state_dict(checkpoint)
    elif read_start is not None:
        state.continue_from(read_start())
    on_start(state)
    result = TrainingResult(state, plan.batch_size, is_first_process())
    if not state.is_finished:
        step = TrainingStep(experiment, plan, state)
        checks = NonFiniteChecks(step, folder, image_name)
        module = PretrainModule(experiment, step, make_loader, pixels, checks)
        _train(module, result.is_first, folder, console, callbacks, evaluation)
    return result


def make_plan(config: RunConfig, num_images: int) -> EpochPlan:
    """Return the plan that divides each epoch into batches; the rank is set later."""
    batch_size, seed = config.run.batch_size, config.run.seed
    if not config.run.epochs:
        # Nothing is trained, so a batch larger than the data set is not an error.
        return EpochPlan(num_images, min(batch_size, num_images), seed)
    processes = config.trainer.num_processes
    return EpochPlan(num_images, batch_size, seed, config.trainer.accumulate, world_size=processes)


def make_state(experiment: Experiment, plan: EpochPlan, num_classes: int) -> TrainingState:
    """Return the training state before the first step, with an online probe if it is enabled.

    Args:
        experiment: the method and all other components of the run.
        plan: the plan that divides each epoch into batches.
        num_classes: the number of classes for the online probe; 0 means no probe.
    """
    config, method = experiment.config, experiment.method
    probe = None
    if config.probe.enabled and num_classes:
        dim = method.backbone.feature_dim
        probe = OnlineProbe(config.probe, dim, num_classes, config.run.seed)
    return TrainingState(method, config.run.epochs, plan.steps, probe)


def _train(
    module: PretrainModule,
    is_first: bool,
    folder: Path,
    console: Console,
    callbacks: Sequence[pl.Callback],
    evaluation: PeriodicEvaluation | None,
) -> None:
    """Train the remaining epochs with a Lightning trainer, and close the process group.

    Raises:
        RunError: if another process of the run has ended.
    """
    experiment, state = module.experiment, module.state
    settings, processes = experiment.config.trainer, module.step.plan.world_size
    prepare_networks(module.method, state.probe, settings, processes)
    with graceful_shutdown() as requested, quiet_lightning():
        metrics = MetricsLogger(
            experiment.loggers if is_first else {},
            lambda text: console.print(text, style="yellow"),
        )
        callback = TrainingCallback(
            folder,
            experiment.config.checkpoint,
            metrics,
            settings.log_every,
            ProgressBar(console) if is_first else None,
            requested.is_set,
            evaluation,
            console.print if is_first else lambda _: None,
        )
        trainer = make_trainer(experiment, [callback, *callbacks])
        restore_lightning_counters(trainer, state)
        state.timer.start()
        try:
            trainer.fit(module)
        except Exception as error:
            if processes > 1 and is_lost_process(error):
                raise _lost_process_error(module, folder) from error
            raise
        finally:
            module.close_loader()
        state.timer.stop()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # The other processes are done; the process of rank 0 evaluates alone.
        torch.distributed.destroy_process_group()


def _lost_process_error(module: PretrainModule, folder: Path) -> RunError:
    """Return the error to raise when another process of the run has ended."""
    plan = module.step.plan
    return RunError(
        f"process {plan.rank} of {plan.world_size} lost contact with another process in step "
        f"{module.state.step}, because that process has ended; its output shows the reason, such "
        f"as an error or a lack of memory. {describe_last_checkpoint(folder)}; run the same "
        "command again."
    )

"""LightningModule that calls the stages of a training step from Lightning's hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ssl_host.compose import Experiment
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.data.prefetch import prefetch
from ssl_host.data.store import PixelArray
from ssl_host.train.epoch_start import start_run_epoch
from ssl_host.train.nonfinite import NonFiniteChecks
from ssl_host.train.param_groups import make_optimizer
from ssl_host.train.state import TrainingState
from ssl_host.train.trainer_setup import check_processes_agree
from ssl_host.train.training_step import TrainingStep

MakeLoader = Callable[[EpochPlan], Any]
"""Function that takes a plan and returns the loader of the training images.

The loader yields the batches of epoch ``loader.epoch``, starting at step ``loader.start``.
``loader.reads_disk`` is True if the next batch should be read ahead; ``loader.close()`` ends what
it has started.
"""


class PretrainModule(pl.LightningModule):
    """LightningModule that trains an SSL method.

    Args:
        experiment: the method and all other components of the run.
        step: the stages of a training step.
        make_loader: a function that creates the loader of the training images.
        pixels: the training images (N, C, H, W), uint8.
        checks: the checks that stop the training if a number is not finite.

    Attributes:
        method: the SSL method.
        state: the training state, which a checkpoint contains.
    """

    def __init__(
        self,
        experiment: Experiment,
        step: TrainingStep,
        make_loader: MakeLoader,
        pixels: PixelArray,
        checks: NonFiniteChecks,
    ) -> None:
        super().__init__()
        self.experiment = experiment
        self.method = experiment.method  # a submodule, so that Lightning moves and wraps it
        self.step = step
        self.state = step.state
        self.make_loader = make_loader
        self.pixels = pixels
        self.checks = checks
        self._weights: list[nn.Parameter] = []
        self._loader: Any = None

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets the name of the running hook forty times per step. nn.Module.__setattr__
        # is slow, so it is skipped for existing attributes that are not tensors or modules.
        if name in self.__dict__ and not isinstance(value, (Tensor, nn.Module)):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def setup(self, stage: str) -> None:
        """Set the rank of this process in the plan, and check that the processes' settings agree.

        Raises:
            UserError: if a setting differs between processes.
        """
        # The rank of this process is known only once all processes are connected.
        trainer = self.trainer
        self.step.plan = replace(
            self.step.plan, rank=trainer.global_rank, world_size=trainer.world_size
        )
        check_processes_agree(self.experiment.config.trainer)

    def train_dataloader(self) -> Any:
        """Return the loader, which starts at the current epoch and step of the training state."""
        self._loader = self.make_loader(self.step.plan)
        return ResumableLoader(self._loader, self.state, self.device.type == "cuda")

    def close_loader(self) -> None:
        """End the worker processes of the loader, if it has been made."""
        if self._loader is not None:
            self._loader.close()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the torch optimizer for the parameter groups of the method."""
        config = self.experiment.config
        lr = self.experiment.optimizer.learning_rate(config.run.batch_size)
        optimizer = make_optimizer(self.method, self.experiment.optimizer, lr)
        self._weights = [p for group in optimizer.param_groups for p in group["params"]]
        return optimizer

    def on_train_epoch_start(self) -> None:
        """Call the method's ``on_epoch_start``, unless the run resumes within the epoch."""
        if self.state.step_in_epoch == 0:
            start_run_epoch(self.step, self.pixels, self.device)

    def transfer_batch_to_device(
        self, batch: RawBatch, device: torch.device, dataloader_idx: int
    ) -> RawBatch:
        return batch if device.type == "cpu" else batch.to(device, non_blocking=True)

    def training_step(self, raw: RawBatch, batch_idx: int) -> Tensor:
        """Return the loss of a micro-batch, after training the online probe on its features.

        Raises:
            NonFiniteError: if the loss is not finite; on a GPU it is not checked here.
        """
        output = self.step.forward(raw)
        self.checks.check_loss(output.loss)
        self.step.update_probe(output)
        return output.loss

    def on_after_backward(self) -> None:
        self.checks.check_gradients(self._weights)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.step.prepare_gradients(optimizer)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        self.step.set_learning_rates(getattr(optimizer, "optimizer", optimizer))
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        scale = None if scaler is None else scaler.get_scale()
        optimizer.step(closure=optimizer_closure)
        # The scaler of 16-mixed skips the optimizer and lowers the scale if a gradient is not
        # finite. EMA copies, queues, schedules and the step counter must not change either then.
        if scaler is not None and scaler.get_scale() < scale:
            self.step.skip()
        else:
            self.step.finish()


class ResumableLoader:
    """Data loader that resumes at the current step and measures the time spent waiting.

    Lightning iterates over a loader more often than there are epochs, so the epoch and the step
    are read from the training state.

    Args:
        loader: the loader of the images.
        state: the training state.
        pin: True to copy batches to page-locked memory, so that they can be copied to a GPU
            asynchronously.
    """

    def __init__(self, loader: Any, state: TrainingState, pin: bool) -> None:
        self.loader = loader
        self.state = state
        self.pin = pin

    def __iter__(self) -> Iterator[RawBatch]:
        self.loader.epoch, self.loader.start = self.state.epoch, self.state.step_in_epoch
        batches = iter(self.loader)
        if self.pin:
            batches = prefetch(batch.pinned() for batch in batches)
        elif self.loader.reads_disk:
            batches = prefetch(batches)
        while True:
            with self.state.timer.waiting():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

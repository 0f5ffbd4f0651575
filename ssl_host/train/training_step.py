"""The training step of a run: views, loss, gradients, optimizer and what follows it."""

from __future__ import annotations

import functools
import hashlib

import torch
from torch import Tensor

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.catalog.registry import error_location
from ssl_host.compose import Experiment
from ssl_host.config.schema import TrainerSettings
from ssl_host.contracts.batch import Batch, StepOutput
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.errors import PluginError, SslHostError
from ssl_host.train.param_groups import set_learning_rates
from ssl_host.train.state import TrainingState
from ssl_host.train.step import (
    autocast,
    compute_output,
    finish_step,
    prepare_gradients,
    seed_torch,
)


class TrainingStep:
    """Computes the optimizer steps of a run, stage by stage.

    Lightning owns the backward pass, precision and processes, so the trainer calls the stages
    from its hooks. :meth:`run` calls the same stages in the same order without Lightning.

    Args:
        settings: ``[trainer]``, if other than the experiment's.

    Attributes:
        plan: set again once the rank of the process is known.
        outputs: of the micro-batches since the last optimizer step.
        learning_rate: of the last optimizer step.
        raw: the last micro-batch, before its views are made.
        seed: of the last micro-batch's random numbers.
        loss, logs, features: of the last micro-batch, detached.
    """

    raw: RawBatch
    loss: Tensor

    def __init__(
        self,
        experiment: Experiment,
        plan: EpochPlan,
        state: TrainingState,
        settings: TrainerSettings | None = None,
    ) -> None:
        self.experiment = experiment
        self.method = experiment.method
        self.plan = plan
        self.state = state
        self.settings = experiment.config.trainer if settings is None else settings
        self.outputs: list[StepOutput] = []
        self.learning_rate = 0.0
        self.seed = 0
        self.logs: dict[str, Tensor | float] = {}
        self.features: Tensor | None = None

    def run(self, raw: RawBatch, optimizer: torch.optim.Optimizer) -> None:
        """Compute one whole optimizer step on one micro-batch, without Lightning."""
        with autocast(raw.index.device.type, self.settings.precision):
            output = self.forward(raw)
            self.update_probe(output)
        self.set_learning_rates(optimizer)
        optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        self.prepare_gradients(optimizer)
        optimizer.step()
        self.finish()

    def forward(self, raw: RawBatch) -> StepOutput:
        """Make the views of a micro-batch and compute its loss.

        Raises:
            PluginError: if augmentation or method fail; the message gives distribution and line.
        """
        self.raw = raw
        self.seed = self._micro_batch_seed()
        batch = self.make_batch(raw)
        try:
            output = compute_output(self.method, batch, self.state.progress, self.seed)
        except SslHostError:
            raise
        except Exception as error:
            raise PluginError(self._failure(batch, error)) from error
        self.outputs.append(output)
        self.loss, self.logs = output.loss.detach(), dict(output.logs)
        self.features = output.features
        return output

    @torch.no_grad()
    def make_batch(self, raw: RawBatch) -> Batch:
        """Make the views of raw images, with the random numbers of this step."""
        device = raw.index.device
        seed_torch(self.seed, device)  # for augmentations that draw from torch's generator
        with attribute_errors(
            self.experiment.views.augmentation,
            f"while making the views of step {self.state.step}",
        ):
            # Views are made in float32 at any precision: a crop is a matrix product.
            if torch.is_autocast_enabled(device.type):
                with torch.autocast(device.type, enabled=False):
                    views = self._make_views(raw)
            else:
                views = self._make_views(raw)
        labels = raw.labels if self.method.uses_labels else None
        return Batch(views, raw.index, labels, self.experiment.views.num_global)

    def update_probe(self, output: StepOutput) -> None:
        """Train the online probe on the features of the last micro-batch."""
        probe, labels = self.state.probe, self.raw.labels
        if probe is not None and output.features is not None and labels is not None:
            probe.step(output.features, labels)

    def set_learning_rates(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the learning rate of every parameter group for this step."""
        self.learning_rate = set_learning_rates(
            optimizer,
            self.experiment.scheduler,
            self.state.step,
            self.state.total_steps,
            self.plan.steps,
        )

    def prepare_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Run the method's hook on complete gradients, drop those of frozen groups, then clip."""
        clip = self.settings.gradient_clip
        prepare_gradients(self.method, optimizer, self.state.progress, clip)

    def finish(self) -> None:
        """Update EMA copies, queues, schedules and counters after the optimizer has stepped."""
        finish_step(self.method, self.outputs, self.state.progress)
        self.outputs = []
        self.state.finish_step()

    @property
    def has_all_micro_batches(self) -> bool:
        """True if the gradients of all micro-batches of the step are accumulated."""
        return len(self.outputs) == self.plan.micro_batches

    def _make_views(self, raw: RawBatch) -> list[Tensor]:
        make, seed = self.experiment.views, self.experiment.config.run.seed
        if isinstance(raw.images, Tensor):
            views = make(raw.images, raw.index, raw.epoch, seed)
        else:
            views = make.finish(raw.images, raw.index, raw.epoch, seed)
        if self.settings.channels_last is True:
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        if self.settings.precision == "64-true":
            views = [view.double() for view in views]
        return views

    def _micro_batch_seed(self) -> int:
        """Return the seed of the next micro-batch.

        It depends on the step and the rank, not on what the process did before: a resumed run
        draws the same dropout.
        """
        first = _rank_seed(self.experiment.config.run.seed, self.plan.rank)
        return first + self.state.step * self.plan.micro_batches + len(self.outputs)

    def _failure(self, batch: Batch, error: Exception) -> str:
        entry = self.experiment.config.components["method"].entry
        shapes = ", ".join("x".join(map(str, view.shape)) for view in batch.views)
        location = error_location(error, type(self.method).__module__)
        return (
            f"{entry.describe()} failed in step {self.state.step}: {type(error).__name__}: "
            f"{error} ({location}); the views were {shapes}"
        )


@functools.cache
def _rank_seed(seed: int, rank: int) -> int:
    digest = hashlib.blake2b(f"{seed} {rank}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")

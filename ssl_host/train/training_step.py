"""Compute the training steps of a run: views, loss, gradients, optimizer, updates."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.catalog.registry import error_location
from ssl_host.compose import Experiment
from ssl_host.config.trainer_schema import TrainerSettings
from ssl_host.contracts.batch import Batch, StepOutput
from ssl_host.contracts.optimization import Schedule
from ssl_host.contracts.rng import BatchRNG
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.errors import PluginError, SslHostError
from ssl_host.train.param_groups import (
    set_learning_rates,
    set_weight_decay,
    weight_decay_schedules,
)
from ssl_host.train.state import TrainingState
from ssl_host.train.step import (
    GradientClip,
    autocast,
    compute_output,
    finish_step,
    prepare_gradients,
    seed_torch,
)


class TrainingStep:
    """Computes the optimizer steps of a run, with a separate function for each stage of a step.

    Lightning runs the backward pass, so the LightningModule calls the stages from its hooks.
    :meth:`run` calls the same stages in the same order without Lightning.

    Args:
        experiment: the method and all other components of the run.
        plan: the plan that divides each epoch into batches.
        state: the training state.
        settings: the ``[trainer]`` settings; None means the settings of the experiment.

    Attributes:
        plan: the plan; it is replaced once the rank of this process is known.
        outputs: the outputs of the SSL method for the micro-batches since the last optimizer step.
        learning_rate: the learning rate of the last optimizer step.
        raw: the last micro-batch, before the augmentation.
        seed: the random seed for the last micro-batch.
        loss: the loss of the last micro-batch, detached.
        logs: the values that the SSL method logged for the last micro-batch.
        features: the features of the last micro-batch, or None.
        inspect_views: a function that is called once, with the views of the next micro-batch; or
            None.
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
        self.inspect_views: Callable[[TrainingStep, list[Tensor]], None] | None = None

    def run(self, raw: RawBatch, optimizer: torch.optim.Optimizer) -> None:
        """Run a complete optimizer step on one micro-batch, without Lightning.

        Args:
            raw: the micro-batch, before the augmentation.
            optimizer: the torch optimizer.
        """
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
        """Make the views of a micro-batch and return the SSL method's output for them.

        Raises:
            PluginError: if the augmentation or the method fails; the message names the
                distribution and the line that failed.
        """
        self.raw = raw
        self.seed = self._micro_batch_seed()
        batch = self.make_batch(raw)
        if self.inspect_views is not None:
            self.inspect_views(self, batch.views)
            self.inspect_views = None
        try:
            output = compute_output(self.method, batch, self.state.progress, self.seed)
        except SslHostError:
            raise
        except Exception as error:
            raise PluginError(self._failure_message(batch, error)) from error
        self.outputs.append(output)
        self.loss, self.logs = output.loss.detach(), dict(output.logs)
        self.features = output.features
        return output

    @torch.no_grad()
    def make_batch(self, raw: RawBatch) -> Batch:
        """Return a micro-batch with its views, made with the random numbers of this step."""
        device = raw.index.device
        seed_torch(self.seed, device)  # for augmentations that draw from torch's generator
        with attribute_errors(
            self.experiment.views.augmentation,
            f"while making the views of step {self.state.step}",
        ):
            # Views are always made in float32: autocast would lower the precision of a crop,
            # which is a matrix product.
            if torch.is_autocast_enabled(device.type):
                with torch.autocast(device.type, enabled=False):
                    views = self._make_views(raw)
            else:
                views = self._make_views(raw)
        labels = raw.labels if self.method.uses_labels else None
        rng = BatchRNG(self.experiment.config.run.seed, raw.epoch, raw.index, self.state.step)
        return Batch(views, raw.index, labels, self.experiment.views.num_global, rng)

    def update_probe(self, output: StepOutput) -> None:
        """Train the online probe on the features of the last micro-batch."""
        probe, labels = self.state.probe, self.raw.labels
        if probe is not None and output.features is not None and labels is not None:
            probe.step(output.features, labels)

    def set_learning_rates(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the learning rate and weight decay of all parameter groups for this step."""
        step, total_steps = self.state.step, self.state.total_steps
        set_weight_decay(optimizer, self._decay_schedules, step, total_steps)
        self.learning_rate = set_learning_rates(
            optimizer,
            self.experiment.scheduler,
            step,
            total_steps,
            self.plan.steps,
        )

    def prepare_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Call ``before_optimizer_step``, remove gradients of frozen groups, clip the others."""
        clip = GradientClip(self.settings.gradient_clip, self.settings.gradient_clip_by)
        prepare_gradients(self.method, optimizer, self.state.progress, clip)

    def finish(self) -> None:
        """Update EMA copies, queues, schedules and counters after the optimizer has stepped."""
        finish_step(self.method, self.outputs, self.state.progress)
        self.outputs = []
        self.state.finish_step()

    def skip(self) -> None:
        """Discard the outputs of a step that the gradient scaler has skipped."""
        self.outputs = []
        self.state.skip_step()

    @functools.cached_property
    def _decay_schedules(self) -> dict[str, Schedule]:
        """Weight-decay schedules of the parameter groups that have one, keyed by group name."""
        return weight_decay_schedules(self.method, self.experiment.optimizer)

    @functools.cached_property
    def chance_level(self) -> float | None:
        """The loss of a network that does not tell images apart; None if the method has none."""
        with attribute_errors(self.method, "in chance_level"):
            return self.method.chance_level(self.plan.batch_size // self.plan.micro_batches)

    @property
    def has_all_micro_batches(self) -> bool:
        """True if all micro-batches of the current step have been computed."""
        return len(self.outputs) == self.plan.micro_batches

    def _make_views(self, raw: RawBatch) -> list[Tensor]:
        """Return the views of a micro-batch, in the memory layout and precision of the training."""
        make, seed = self.experiment.views, self.experiment.config.run.seed
        if isinstance(raw.images, Tensor):
            views = make(raw.images, raw.index, raw.epoch, seed)
        else:
            views = make.finish(raw.images, raw.index, raw.epoch, seed)
        return self.convert(views)

    def convert(self, views: list[Tensor]) -> list[Tensor]:
        """Return views in the memory layout and precision of the training."""
        if self.settings.channels_last is True:
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        if self.settings.precision == "64-true":
            views = [view.double() for view in views]
        return views

    def _micro_batch_seed(self) -> int:
        """Return the random seed for the next micro-batch.

        The seed depends only on the seed of the run, the rank, the step and the micro-batch, so a
        resumed run draws the same dropout masks.
        """
        first = _rank_seed(self.experiment.config.run.seed, self.plan.rank)
        return first + self.state.step * self.plan.micro_batches + len(self.outputs)

    def epoch_seed(self) -> int:
        """Return the random seed for the start of the current epoch, the same in all processes."""
        return _rank_seed(self.experiment.config.run.seed, -1) + self.state.epoch

    def _failure_message(self, batch: Batch, error: Exception) -> str:
        """Return the message for an error in the SSL method: plugin, step, line, view shapes."""
        entry = self.experiment.config.components["method"].entry
        shapes = ", ".join("x".join(map(str, view.shape)) for view in batch.views)
        location = error_location(error, type(self.method).__module__)
        return (
            f"{entry.describe()} failed in step {self.state.step}: {type(error).__name__}: "
            f"{error} ({location}); the views were {shapes}"
        )


@functools.cache
def _rank_seed(seed: int, rank: int) -> int:
    """Return a 48-bit seed that differs between ranks; rank -1 stands for all processes."""
    digest = hashlib.blake2b(f"{seed} {rank}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")

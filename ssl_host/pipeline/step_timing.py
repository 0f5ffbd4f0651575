"""A few training steps on one batch, timed under given settings of the trainer."""

from __future__ import annotations

import time

import torch

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.compose import Experiment
from ssl_host.config.schema import TrainerSettings
from ssl_host.contracts.batch import Batch
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.train.nonfinite import mixed
from ssl_host.train.param_groups import make_optimizer, set_rates

TIMED_STEPS = 3
"""Steps that are timed, after one that warms up."""


class StepTimer:
    """Trains a method on one batch again and again; what is decoded is decoded before.

    Attributes:
        losses: of every step that was made.
        shapes: of the views.
    """

    def __init__(self, experiment: Experiment, raw: RawBatch, plan: EpochPlan) -> None:
        config = experiment.config
        self.experiment = experiment
        self.plan = plan
        self.total = max(1, config.run.epochs * plan.steps)
        self.device = torch.device(config.trainer.accelerator)
        self.raw = raw.to(self.device)
        self.method = experiment.method.to(self.device)
        self.optimizer = make_optimizer(
            self.method,
            experiment.optimizer,
            experiment.optimizer.learning_rate(config.run.batch_size),
        )
        self.losses: list[float] = []
        self.shapes: list[list[int]] = []
        self.step = 0

    def seconds(self, settings: TrainerSettings) -> float:
        """The median time of an optimizer step under these settings."""
        torch.set_num_threads(int(settings.num_threads))
        layout = torch.channels_last if settings.channels_last is True else torch.contiguous_format
        self.method.to(memory_format=layout)
        self._take_numbers(torch.float64 if settings.precision == "64-true" else torch.float32)
        if settings.compile == "on":
            self.method.compile()
        times = []
        for _ in range(1 + TIMED_STEPS):
            begun = time.perf_counter()
            self._step(settings.precision, layout)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            times.append((time.perf_counter() - begun) * settings.accumulate)
        return sorted(times[1:])[TIMED_STEPS // 2]

    def _take_numbers(self, dtype: torch.dtype) -> None:
        if next(self.method.parameters()).dtype != dtype:
            self.method.to(dtype)
            self.optimizer.state.clear()  # it is of the other ones

    def _step(self, precision: str, layout: torch.memory_format) -> None:
        raw, views, step = self.raw, self.experiment.views, self.step
        assert isinstance(raw.images, torch.Tensor)
        made = views(raw.images, raw.index, 0, self.experiment.config.run.seed)
        dtype = next(self.method.parameters()).dtype
        made = [view.to(dtype).contiguous(memory_format=layout) for view in made]
        self.shapes = [list(view.shape) for view in made]
        with attribute_errors(self.method, f"in step {step}"), mixed(self.device.type, precision):
            out = self.method.step(Batch(made, raw.index, raw.labels, views.num_global))
        self.losses.append(float(out.loss.detach()))
        set_rates(self.optimizer, self.experiment.scheduler, step, self.total, self.plan.steps)
        self.optimizer.zero_grad(set_to_none=True)
        out.loss.backward()
        self.optimizer.step()
        with attribute_errors(self.method, f"while moving on after step {step}"):
            self.method.finish_step(out, step, self.total)
        self.step += 1

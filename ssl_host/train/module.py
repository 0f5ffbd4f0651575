"""The one LightningModule: batch to views, views to loss, and what moves after each step."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.catalog.registry import error_location
from ssl_host.compose import Experiment
from ssl_host.contracts.batch import Batch, Progress, StepOutput, merge_outputs
from ssl_host.data.batches import EpochPlan, RawBatch
from ssl_host.errors import NonFiniteError, PluginError, SslHostError
from ssl_host.train.checkpoint import last_written
from ssl_host.train.nonfinite import FailedStep, cause, gradient_sum, write_failed_step
from ssl_host.train.param_groups import drop_frozen, make_optimizer, set_rates
from ssl_host.train.probe import OnlineProbe


class PretrainModule(pl.LightningModule):
    """Trains a method. All state that outlives a step is reached by ``train.state``.

    Attributes:
        step: optimizer steps done.
        epoch: the running epoch, from 0.
        step_in_epoch: optimizer steps of it that are done.
        name_of: what messages call a training image.
        checkpoints: their folder; a step that fails by its numbers is written beside it.
    """

    checkpoints: Path | None = None
    name_of: Callable[[int], str] = staticmethod("image {}".format)

    def __init__(self, experiment: Experiment, plan: EpochPlan, probe: OnlineProbe | None) -> None:
        super().__init__()
        config = experiment.config
        self.experiment = experiment
        self.method = experiment.method
        self.plan = plan
        self.probe = probe
        self.seed = config.run.seed
        self.total_steps = max(1, config.run.epochs * plan.steps)
        self.step = 0
        self.epoch = 0
        self.step_in_epoch = 0
        self.rate = 0.0
        self.last_loss: Tensor | None = None
        self.last_logs: dict[str, Tensor | float] = {}
        self.last_features: Tensor | None = None
        self.channels_last = config.trainer.channels_last is True
        self._parts: list[StepOutput] = []
        self._weights: list[nn.Parameter] = []

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the hook that runs on the module forty times a step. What is there
        # already and is no tensor or module needs nothing of what nn.Module does at each.
        if name in self.__dict__ and not isinstance(value, (Tensor, nn.Module)):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        config = self.experiment.config
        lr = self.experiment.optimizer.learning_rate(config.run.batch_size)
        optimizer = make_optimizer(self.method, self.experiment.optimizer, lr)
        self._weights = [p for group in optimizer.param_groups for p in group["params"]]
        return optimizer

    def transfer_batch_to_device(
        self, batch: RawBatch, device: torch.device, dataloader_idx: int
    ) -> RawBatch:
        return batch if device.type == "cpu" else batch.to(device, non_blocking=True)

    def training_step(self, raw: RawBatch, batch_idx: int) -> Tensor:
        self._raw = raw
        method = self.method
        self._seed_step(batch_idx)
        with attribute_errors(
            self.experiment.views.augmentation, f"while making the views of step {self.step}"
        ):
            batch = self.make_batch(raw)
        method.progress = Progress(self.step, self.total_steps, self.epoch)
        try:
            out = method.step(batch)
        except (SslHostError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise PluginError(self._fault(batch, error)) from error
        self._check(out)
        self._parts.append(out)
        self.last_loss, self.last_logs = out.loss.detach(), dict(out.logs)
        self.last_features = out.features
        if self.probe is not None and out.features is not None and raw.labels is not None:
            self.probe.step(out.features, raw.labels)
        return out.loss

    @torch.no_grad()
    def make_batch(self, raw: RawBatch) -> Batch:
        """Views of raw images, in this run's random numbers."""
        # Views are made in float32 whatever the network's precision: a crop is a matrix product.
        if torch.is_autocast_enabled(self.device.type):
            with torch.autocast(self.device.type, enabled=False):
                views = self._views(raw)
        else:
            views = self._views(raw)
        labels = raw.labels if self.method.uses_labels else None
        return Batch(views, raw.index, labels, self.experiment.views.num_global)

    def _views(self, raw: RawBatch) -> list[Tensor]:
        maker = self.experiment.views
        if isinstance(raw.images, Tensor):
            views = maker(raw.images, raw.index, raw.epoch, self.seed)
        else:
            views = maker.finish(raw.images, raw.index, raw.epoch, self.seed)
        if self.channels_last:
            views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        if self.dtype == torch.float64:
            views = [view.double() for view in views]
        return views

    def _seed_step(self, batch_idx: int) -> None:
        # Dropout and stochastic depth are a function of the step, not of the process's past.
        # Each process has its own: which one it is, is known when all of them are there.
        own = _stable_seed(self.seed, self.plan.rank)
        seed = own + self.step * self.plan.micro_batches + batch_idx % self.plan.micro_batches
        self._seed = seed
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)
        torch.default_generator.manual_seed(seed)

    def _check(self, out: StepOutput) -> None:
        if not isinstance(out, StepOutput):
            raise PluginError(
                f"{type(self.method).__qualname__}.step returned {type(out).__name__}; "
                "return StepOutput(loss, features=...)"
            )
        loss = out.loss
        if loss.ndim or not loss.requires_grad:
            raise PluginError(self._wrong_loss(loss))
        # On a GPU reading the loss would wait for it; there it is read where a row is logged.
        if loss.is_cpu and not math.isfinite(value := loss.item()):
            self.raise_non_finite("loss", value)

    def _wrong_loss(self, loss: Tensor) -> str:
        name = f"{type(self.method).__qualname__}.step"
        if loss.ndim:
            shape = "x".join(map(str, loss.shape))
            return f"{name} returned a loss of shape {shape}; a scalar: take its mean"
        return f"{name} returned a loss without a gradient: it was detached, or made under no_grad"

    def on_after_backward(self) -> None:
        settings = self.experiment.config.trainer
        if settings.precision == "16-mixed":
            return  # its scaler meets infinite gradients now and then, and leaves the step out
        whole = len(self._parts) == self.plan.micro_batches
        if self.device.type != "cpu" and not (whole and (self.step + 1) % settings.log_every == 0):
            return  # reading it would wait for the GPU
        total = gradient_sum(self._weights)
        if not math.isfinite(total):
            assert self.last_loss is not None
            loss = self.last_loss.item()
            if math.isfinite(loss):
                self.raise_non_finite("gradient", total)
            self.raise_non_finite("loss", loss)

    def check_weights(self) -> None:
        """Before they are written: a checkpoint of no numbers would be gone on from for ever.

        Raises:
            NonFiniteError: when a weight is not finite, or a buffer not a number.
        """
        weights = {name for name, _ in self.method.named_parameters()}
        for name, tensor in self.method.state_dict().items():
            norm = tensor.norm().item() if tensor.is_floating_point() else 0.0
            # A buffer may be a mask of infinities; no number is never meant.
            if math.isnan(norm) or (math.isinf(norm) and name in weights):
                self.raise_non_finite(f"norm of {name}", norm)

    def raise_non_finite(self, what: str, value: float) -> None:
        """Write the step down and stop with a diagnosis.

        Raises:
            NonFiniteError: always.
        """
        assert self.checkpoints is not None
        batch = self.make_batch(self._raw)
        names = [self.name_of(i) for i in self._raw.index.tolist()]
        kept = self._keep_step(batch, names, self.checkpoints.parent)
        when = "at" if self.device.type == "cpu" else "at or before"
        raise NonFiniteError(
            f"the {what} became {value} {when} step {self.step} (epoch {self.epoch}), with a "
            f"learning rate of {self.rate:.3g}{cause(self.method, batch)}; the batch began with "
            f"{', '.join(names[:4])}. {kept}. A smaller [optimizer] lr or base_lr, a longer "
            "[scheduler] warmup_epochs, [trainer] gradient_clip = 1.0 or precision = 32-true "
            f"usually helps. {last_written(self.checkpoints)}"
        )

    def _keep_step(self, batch: Batch, names: list[str], folder: Path) -> str:
        precision = self.experiment.config.trainer.precision
        progress = self.method.progress
        failed = FailedStep(self.method, batch, names, progress, precision, self._seed)
        try:
            path = write_failed_step(folder, failed, self.plan.rank)
        except OSError as error:
            return f"The step could not be kept: {error.strerror}"
        return f"Weights and batch are in {path.name}: ssl_host.load_failed_step({str(path)!r})"

    def _fault(self, batch: Batch, error: Exception) -> str:
        part = self.experiment.config.components["method"]
        shapes = ", ".join("x".join(map(str, view.shape)) for view in batch.views)
        return (
            f"{part.entry.describe()} failed in step {self.step}: {type(error).__name__}: {error} "
            f"({error_location(error, type(self.method).__module__)}); the views were {shapes}"
        )

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        config = self.experiment
        self.rate = set_rates(
            getattr(optimizer, "optimizer", optimizer),
            config.scheduler,
            self.step,
            self.total_steps,
            self.plan.steps,
        )
        optimizer.step(closure=optimizer_closure)
        with attribute_errors(self.method, f"while moving on after step {self.step}"):
            self.method.finish_step(
                merge_outputs(self._parts), self.step, self.total_steps, self.epoch
            )
        self._parts = []
        self.step += 1
        self.step_in_epoch += 1

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        drop_frozen(optimizer, self.step, self.total_steps)

    def optimizer_zero_grad(
        self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer
    ) -> None:
        optimizer.zero_grad(set_to_none=True)


@functools.cache
def _stable_seed(seed: int, rank: int) -> int:
    digest = hashlib.blake2b(f"{seed} {rank}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")

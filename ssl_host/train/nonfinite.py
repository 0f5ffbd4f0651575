"""Stop the training if the loss, a gradient or a weight is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_host.contracts.batch import Batch
from ssl_host.contracts.method import Method
from ssl_host.errors import NonFiniteError
from ssl_host.train.checkpoint import describe_last_checkpoint
from ssl_host.train.failed_step import FailedStep, write_failed_step
from ssl_host.train.training_step import TrainingStep


class NonFiniteChecks:
    """Stops the training if a number is NaN or infinite, with a message about the likely cause.

    Args:
        step: the training step to check.
        checkpoints: the folder of the checkpoints; a failed step is written to its parent folder.
        image_name: a function that takes the index of a training image and returns its name.
    """

    def __init__(
        self, step: TrainingStep, checkpoints: Path, image_name: Callable[[int], str]
    ) -> None:
        self.step = step
        self.checkpoints = checkpoints
        self.image_name = image_name

    def check_loss(self, loss: Tensor) -> None:
        """Check the loss if it is on the CPU; reading it from a GPU would make the CPU wait.

        Raises:
            NonFiniteError: if the loss is not finite.
        """
        if loss.is_cpu and not math.isfinite(value := loss.item()):
            self.fail("loss", value)

    def check_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Check all gradients; on a GPU only in logged steps, because the check makes the CPU wait.

        Raises:
            NonFiniteError: if a gradient is not finite.
        """
        step, settings = self.step, self.step.settings
        if settings.precision == "16-mixed":
            return  # the gradient scaler skips steps with infinite gradients, which is normal
        is_logged = (step.state.step + 1) % settings.log_every == 0
        if not step.loss.is_cpu and not (step.has_all_micro_batches and is_logged):
            return
        total = gradient_sum(weights)
        if not math.isfinite(total):
            loss = step.loss.item()
            if math.isfinite(loss):
                self.fail("gradient", total)
            self.fail("loss", loss)

    def check_weights(self) -> None:
        """Check the weights before they are written to a checkpoint.

        Raises:
            NonFiniteError: if a weight is not finite, or a buffer is NaN.
        """
        method = self.step.method
        weights = {name for name, _ in method.named_parameters()}
        for name, tensor in method.state_dict().items():
            norm = tensor.norm().item() if tensor.is_floating_point() else 0.0
            # A buffer may be a mask of infinities, but NaN is always an error.
            if math.isnan(norm) or (math.isinf(norm) and name in weights):
                self.fail(f"norm of {name}", norm)

    def fail(self, what: str, value: float) -> None:
        """Write the failed step to a file and raise NonFiniteError.

        Args:
            what: the name of the number that is not finite, such as ``loss``.
            value: the value of the number.

        Raises:
            NonFiniteError: always.
        """
        step, state = self.step, self.step.state
        batch = step.make_batch(step.raw)
        names = [self.image_name(i) for i in step.raw.index.tolist()]
        written = self._write(batch, names)
        when = "at" if step.loss.is_cpu else "at or before"
        raise NonFiniteError(
            f"the {what} became {value} {when} step {state.step} (epoch {state.epoch}), with a "
            f"learning rate of {step.learning_rate:.3g}{find_cause(step.method, batch)}; the batch "
            f"starts with {', '.join(names[:4])}. {written}. A smaller [optimizer] lr or base_lr, "
            "a longer [scheduler] warmup_epochs, [trainer] gradient_clip = 1.0 or precision = "
            f"32-true usually helps. {describe_last_checkpoint(self.checkpoints)}."
        )

    def _write(self, batch: Batch, names: list[str]) -> str:
        """Write the failed step; return a sentence with the file name or the reason for failure."""
        step = self.step
        method, precision = step.method, step.settings.precision
        failed = FailedStep(method, batch, names, method.progress, precision, step.seed)
        try:
            path = write_failed_step(self.checkpoints.parent, failed, step.plan.rank)
        except OSError as error:
            return f"The step could not be written: {error.strerror}"
        return (
            f"The weights and the batch are in {path.name}; to examine them, call "
            f"ssl_host.load_failed_step({str(path)!r})"
        )


def gradient_sum(weights: Iterable[nn.Parameter]) -> float:
    """Return the sum over all elements of all gradients; it is finite only if all of them are.

    This runs in every step on a CPU, and a sum takes only two thirds of the time of a norm.
    """
    sums = [weight.grad.sum() for weight in weights if weight.grad is not None]
    return torch.stack(sums).sum().item() if sums else 0.0


def find_cause(method: Method, batch: Batch) -> str:
    """Return the part of the message that says where the non-finite numbers are.

    The result is an empty string if this is not known.
    """
    if not all(torch.isfinite(view).all() for view in batch.views):
        return "; the views themselves are not finite: check the augmentation"
    weights = [name for name, p in method.named_parameters() if not torch.isfinite(p).all()]
    if weights:
        return f"; weights such as {weights[0]} were already non-finite before this step"
    gradients = [
        name
        for name, p in method.named_parameters()
        if p.grad is not None and not torch.isfinite(p.grad).all()
    ]
    return f"; the first non-finite gradient is that of {gradients[0]}" if gradients else ""

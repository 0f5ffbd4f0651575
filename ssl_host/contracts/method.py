"""Base classes of SSL methods and schedules, and the record of a parameter group."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ssl_host.contracts.batch import Batch, Progress, StepOutput
from ssl_host.contracts.component import Component
from ssl_host.contracts.networks import Backbone, Head, Loss
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ContractError


@dataclass(frozen=True)
class ParamGroup:
    """Record of a group of parameters that share a learning rate and a weight decay.

    Attributes:
        name: name of the group, for logs.
        params: (name, parameter) pairs, such as ``named_parameters()`` yields.
        lr_scale: factor for the optimizer's learning rate.
        schedule: ``scheduler`` if the learning rate follows the run's schedule, ``constant`` if
            it does not.
        weight_decay: weight decay of the group; None means the optimizer's weight decay.
        frozen_until: fraction of the run, from 0 to 1, during which the optimizer leaves the group
            unchanged (DINO's last layer, SwAV's prototypes). The gradients are still computed,
            because distributed training needs them.
    """

    name: str
    params: Sequence[tuple[str, nn.Parameter]]
    lr_scale: float = 1.0
    schedule: Literal["scheduler", "constant"] = "scheduler"
    weight_decay: float | None = None
    frozen_until: float = 0.0


class Schedule(nn.Module):
    """Base class of schedules: numbers that the host updates every step and saves in checkpoints.

    Assign a schedule to an attribute in :meth:`Method.setup` and read its current value with
    ``float(self.ema_decay)``.
    """

    value: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        self.register_buffer("value", torch.tensor(float(start), dtype=torch.float64))

    def value_at(self, step: int, total_steps: int) -> float:
        """Return the value at optimizer step ``step`` (from 0) of ``total_steps``."""
        raise NotImplementedError(f"{type(self).__qualname__} does not implement value_at()")

    def set_step(self, step: int, total_steps: int) -> None:
        """Set the current value for optimizer step ``step`` (from 0) of ``total_steps``."""
        self.value.fill_(self.value_at(step, total_steps))

    def _apply(self, fn: Any, recurse: bool = True) -> Schedule:
        # Keep the scalar in float64 on the CPU when the network is moved or cast: in bfloat16 an
        # EMA decay of 0.999 would be rounded to 1.
        return self

    def __float__(self) -> float:
        return float(self.value)


class Method(Component, nn.Module):
    """Base class of SSL methods; a subclass defines its heads, its recipe and :meth:`step`.

    The host does everything else: EMA copies, queues, schedules, optimizer, online probe, mixed
    precision, distributed training and checkpoints.
    """

    kind: ClassVar[str] = "method"
    build_args: ClassVar[tuple[str, ...]] = ("backbone", "heads", "loss")

    heads: ClassVar[Mapping[str, str]] = {}
    """Name and input of each head: ``{"projector": "backbone", "predictor": "projector"}``. The
    host builds each head with its input's width and assigns it to an attribute with the head's
    name, for :meth:`step` to call. The conformance kit treats a head on top of another head as a
    predictor and checks that the loss has a gradient only through it."""
    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Default settings for runs of this method, keyed by INI section. A configuration can override
    each of them."""
    ema: ClassVar[Sequence[str]] = ()
    """Names of the modules that have an EMA copy ``self.ema_<module>``: the backbone, heads, or
    modules created in :meth:`setup`. Copies receive no gradient and stay in training mode, with
    their own batch-norm statistics. The host updates them once per step with ``self.ema_decay``,
    a :class:`Schedule` that :meth:`setup` must set."""
    uses_labels: ClassVar[bool] = False
    """True if :meth:`step` uses labels; otherwise ``batch.labels`` is None."""
    supports_multicrop: ClassVar[bool] = False
    """True if :meth:`step` accepts additional small views after the full-size ones."""
    min_views: ClassVar[int] = 2
    """Number of views that :meth:`step` takes; a minimum if :attr:`supports_multicrop` is True."""
    sync_batchnorm: ClassVar[bool] = True
    """True if batch norms share their statistics across all processes. MoCo needs separate ones."""
    encoder: ClassVar[str] = "backbone"
    """Name of the module to evaluate and export, such as ``ema_backbone`` for a teacher-student
    method."""

    backbone: Backbone
    """The network to pretrain."""
    loss: Loss
    """The loss component. It computes in float32 or float64, whatever the precision of the run."""
    ema_decay: Schedule
    """Decay of the EMA copies; required if :attr:`ema` names any module."""
    progress: Progress
    """Steps done so far, total steps and current epoch."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # heads and EMA copies are attributes
            ...

    def __init__(
        self, config: Settings, *, backbone: Backbone, heads: Mapping[str, Head], loss: Loss | None
    ) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.progress = Progress()
        self.backbone = backbone
        if loss is not None:
            self.loss = loss
        for name, head in heads.items():
            setattr(self, name, head)
        self.setup()
        for name in self.ema:
            target = copy.deepcopy(self._module_named(name, "ema")).requires_grad_(False)
            setattr(self, f"ema_{name}", target)
        self._module_named(self.encoder, "encoder")
        if self.ema and not isinstance(getattr(self, "ema_decay", None), Schedule):
            raise ContractError(
                f"{type(self).__qualname__} has EMA copies of {', '.join(self.ema)}, but setup() "
                "does not set self.ema_decay; write for example "
                "`self.ema_decay = CosineSchedule(0.99, 1.0)`"
            )

    def _module_named(self, name: str, attribute: str) -> nn.Module:
        """Return the module with the given name; raise ContractError if there is none."""
        module = getattr(self, name, None)
        if not isinstance(module, nn.Module):
            children = ", ".join(child for child, _ in self.named_children())
            raise ContractError(
                f"{type(self).__qualname__}.{attribute} names '{name}', which is not a module of "
                f"the method; after setup() its modules are {children}"
            )
        return module

    def step(self, batch: Batch) -> StepOutput:
        """Return the loss of one batch, features for the online probe and rows to push into queues.

        Read from queues here, but do not push: the host pushes ``StepOutput.enqueue`` after the
        optimizer step. In mixed precision, this method runs in bfloat16 or float16, except for
        loss components. Put operations that need full precision (a softmax at a low temperature, a
        covariance) into a loss or inside :func:`ssl_host.full_precision`.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not implement step()")

    def before_optimizer_step(self) -> None:
        """Called before each optimizer step, when all gradients are complete.

        The gradients include all micro-batches and processes. They are unscaled and not yet
        clipped, and ``frozen_until`` has not removed any yet. This runs under
        ``torch.no_grad()``; you may change ``parameter.grad`` in place.
        """

    def after_optimizer_step(self) -> None:
        """Called after each optimizer step, once EMA copies, queues and schedules are updated.

        This runs under ``torch.no_grad()``. You may change parameters in place, for example to
        normalise prototypes.
        """

    def config_warnings(self, num_processes: int) -> Iterable[str]:
        """Return warnings about the method's settings, as sentences for the log and the report."""
        return ()

    def param_groups(self) -> Iterable[ParamGroup]:
        """Yield the groups of trainable parameters; by default a single group with all of them."""
        yield ParamGroup("all", list(self.trainable_parameters()))

    def trainable_parameters(self, *modules: str) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield (name, parameter) for each trainable parameter, optionally only of some modules."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and (not modules or name.split(".", 1)[0] in modules):
                yield name, parameter

    @torch.no_grad()
    def finish_step(self, out: StepOutput, step: int, total_steps: int, epoch: int = 0) -> None:
        """Update EMA copies, queues, schedules and progress after an optimizer step.

        The host's trainer calls this. In a custom training loop, call it after
        ``optimizer.step()``.

        Args:
            out: output of :meth:`step`, merged if the step had several micro-batches.
            step: index of this optimizer step, from 0.
            total_steps: number of optimizer steps in the whole run.
            epoch: current epoch, counted from 0.
        """
        for name in self.ema:
            _update_ema(getattr(self, f"ema_{name}"), getattr(self, name), float(self.ema_decay))
        for name, rows in out.enqueue.items():
            getattr(self, name).push(rows)
        self.progress = Progress(step + 1, total_steps, epoch)
        for schedule in self._schedules:
            schedule.set_step(step + 1, total_steps)
        self.after_optimizer_step()

    @cached_property
    def _schedules(self) -> list[Schedule]:
        """All schedules in the method and its modules."""
        # Cached, because walking through all modules takes longer than updating the schedules.
        return [module for module in self.modules() if isinstance(module, Schedule)]


def _update_ema(ema_copy: nn.Module, online: nn.Module, ema_decay: float) -> None:
    """Set the parameters of an EMA copy to ema_decay · copy + (1 − ema_decay) · online.

    Buffers are not changed: the copy keeps its own batch-norm statistics, as in BYOL
    (arXiv:2006.07733, Appendix J) and in MoCo's key encoder.
    """
    targets: list[Tensor] = [*ema_copy.parameters()]
    sources: list[Tensor] = [*online.parameters()]
    if targets:
        torch._foreach_lerp_(targets, sources, 1.0 - ema_decay)

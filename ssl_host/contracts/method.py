"""What the author of a method subclasses."""

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
    """Parameters that share a learning rate and a decay.

    Attributes:
        name: how the group is called in logs.
        params: name and parameter, as ``named_parameters()`` gives them.
        lr_scale: factor on the optimizer's learning rate.
        schedule: ``scheduler`` follows the run's schedule, ``constant`` keeps the rate.
        weight_decay: overrides the optimizer's, for every parameter of the group.
        frozen_until: part of the run, from 0 to 1, in which the optimizer leaves the group alone
            (DINO's last layer, SwAV's prototypes). It has its gradients all the same, which several
            processes rely on.
    """

    name: str
    params: Sequence[tuple[str, nn.Parameter]]
    lr_scale: float = 1.0
    schedule: Literal["scheduler", "constant"] = "scheduler"
    weight_decay: float | None = None
    frozen_until: float = 0.0


class Schedule(nn.Module):
    """A number that the host moves once a step and keeps in the checkpoint.

    Assign one to an attribute in :meth:`Method.setup`; ``float(self.ema_decay)`` reads it.
    """

    value: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        self.register_buffer("value", torch.tensor(float(start), dtype=torch.float64))

    def value_at(self, step: int, total_steps: int) -> float:
        """The value before optimizer step ``step`` (from 0) of ``total_steps``."""
        raise NotImplementedError(f"{type(self).__qualname__} has no value_at()")

    def set_step(self, step: int, total_steps: int) -> None:
        """Set the value for step ``step``."""
        self.value.fill_(self.value_at(step, total_steps))

    def _apply(self, fn: Any, recurse: bool = True) -> Schedule:
        # A schedule is a float64 scalar whatever the precision and device of the network:
        # rounded to bf16, a momentum of 0.999 would become 1.
        return self

    def __float__(self) -> float:
        return float(self.value)


class Method(Component, nn.Module):
    """A self-supervised method: heads, a recipe and one :meth:`step`.

    Everything else is the host's: momentum copies, queues, schedules, optimizer, probe, mixed
    precision, processes, checkpoints.
    """

    kind: ClassVar[str] = "method"
    build_args: ClassVar[tuple[str, ...]] = ("backbone", "heads", "loss")

    heads: ClassVar[Mapping[str, str]] = {}
    """Each head and what feeds it: ``{"projector": "backbone", "predictor": "projector"}``. The
    host builds it for the width of its feeder and sets the attribute; :meth:`step` calls it. A head
    that is fed by a head is a predictor to the conformance kit: all gradient comes through it."""
    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """The recipe, by INI section. Any of it can be overridden."""
    ema: ClassVar[Sequence[str]] = ()
    """Modules that have an EMA copy, ``self.ema_<module>``: the backbone, heads, or modules made in
    :meth:`setup`. Copies receive no gradient, stay in training mode with separate batch-norm
    statistics, and are updated once a step with ``self.ema_decay``, a :class:`Schedule` that
    :meth:`setup` has to set."""
    uses_labels: ClassVar[bool] = False
    """Whether :meth:`step` sees labels. Without it ``batch.labels`` is None."""
    supports_multicrop: ClassVar[bool] = False
    """Whether :meth:`step` takes more than two views, the small ones after the full-size."""
    min_views: ClassVar[int] = 2
    """Views that :meth:`step` takes, or the least of them with :attr:`supports_multicrop`."""
    sync_batchnorm: ClassVar[bool] = True
    """Whether batch statistics are shared between processes (MoCo relies on their not being)."""
    encoder: ClassVar[str] = "backbone"
    """The part that is evaluated and exported (``ema_backbone`` for a teacher method)."""

    backbone: Backbone
    """The network that is trained."""
    loss: Loss
    """The loss component, called in float32 whatever the precision of the run."""
    ema_decay: Schedule
    """The momentum of the copies, where there are any."""
    progress: Progress
    """Steps done and planned and the running epoch, as they are when :meth:`step` is called."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # heads and momentum copies, set by their names
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
            target = copy.deepcopy(self._part(name, "momentum")).requires_grad_(False)
            setattr(self, f"ema_{name}", target)
        self._part(self.encoder, "encoder")
        if self.ema and not isinstance(getattr(self, "ema_decay", None), Schedule):
            raise ContractError(
                f"{type(self).__qualname__} has momentum copies of {', '.join(self.ema)} but "
                "setup() does not set self.ema_decay, the momentum; write for example "
                "`self.ema_decay = CosineSchedule(0.99, 1.0)`"
            )

    def _part(self, name: str, attribute: str) -> nn.Module:
        found = getattr(self, name, None)
        if not isinstance(found, nn.Module):
            parts = ", ".join(part for part, _ in self.named_children())
            raise ContractError(
                f"{type(self).__qualname__}.{attribute} names '{name}', which is no part of it; "
                f"after setup() it has {parts}"
            )
        return found

    def step(self, batch: Batch) -> StepOutput:
        """The loss of one batch. Look up queues here; what they receive is returned.

        Under mixed precision this runs in bfloat16 or float16 but for losses that are components:
        what is sensitive (a softmax at a low temperature, a covariance) belongs into one.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no step")

    def before_optimizer_step(self) -> None:
        """Run when all gradients are complete, once before every optimizer step.

        They are those of all micro-batches and processes, unscaled, and neither clipped nor
        removed by ``frozen_until`` yet. Without gradients; ``parameter.grad`` may be changed in
        place.
        """

    def after_optimizer_step(self) -> None:
        """Runs once after every optimizer step, after momentum copies and queues have moved.

        Without gradients; parameters may be changed in place, such as prototypes normalised.
        """

    def config_warnings(self, num_processes: int) -> Iterable[str]:
        """Sentences for log and report on what this configuration does to the method."""
        return ()

    def param_groups(self) -> Iterable[ParamGroup]:
        """Groups of trainable parameters. By default, one group of all."""
        yield ParamGroup("all", list(self.trainable_parameters()))

    def trainable_parameters(self, *parts: str) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters that receive a gradient, of the named parts or of all."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and (not parts or name.split(".", 1)[0] in parts):
                yield name, parameter

    @torch.no_grad()
    def finish_step(self, out: StepOutput, step: int, total_steps: int, epoch: int = 0) -> None:
        """Move everything that moves once per optimizer step; the host's trainer calls this.

        A plain training loop calls it too, right after ``optimizer.step()``.

        Args:
            out: what :meth:`step` returned.
            step: number of this optimizer step, from 0.
            total_steps: optimizer steps of the whole run.
            epoch: the running epoch, from 0.
        """
        for name in self.ema:
            _follow(getattr(self, f"ema_{name}"), getattr(self, name), float(self.ema_decay))
        for name, rows in out.enqueue.items():
            getattr(self, name).push(rows)
        self.progress = Progress(step + 1, total_steps, epoch)
        for schedule in self._schedules:
            schedule.set_step(step + 1, total_steps)
        self.after_optimizer_step()

    @cached_property
    def _schedules(self) -> list[Schedule]:
        # Looked for once: a walk through all modules takes longer than moving what it finds.
        return [module for module in self.modules() if isinstance(module, Schedule)]


def _follow(copy_: nn.Module, online: nn.Module, ema_decay: float) -> None:
    """copy ← ema_decay · copy + (1 − ema_decay) · online, on parameters only.

    Buffers are left alone: a momentum network keeps batch-norm statistics of its own
    (BYOL, arXiv:2006.07733, Appendix J; MoCo's key encoder likewise).
    """
    targets: list[Tensor] = [*copy_.parameters()]
    sources: list[Tensor] = [*online.parameters()]
    if targets:
        torch._foreach_lerp_(targets, sources, 1.0 - ema_decay)

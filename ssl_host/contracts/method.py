"""Base class of SSL methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from ssl_host.contracts.batch import Batch, Plan, Progress, StepOutput
from ssl_host.contracts.component import Component
from ssl_host.contracts.loss import Loss
from ssl_host.contracts.networks import Backbone, Head
from ssl_host.contracts.optimization import ParamGroup, Schedule
from ssl_host.contracts.settings import Settings
from ssl_host.contracts.teachers import freeze, make_ema_copy, update_ema
from ssl_host.errors import ContractError


class EpochImages(Protocol):
    """Protocol of the training images that :meth:`Method.on_epoch_start` receives."""

    def batches(self, augmented: bool = False) -> Iterator[Batch]:
        """Yield all training images once, in batches.

        Each global batch is divided among the processes, so every process yields the same number of
        batches; its last batch may be smaller or empty. ``batch.index`` is from 0 to
        ``plan.num_images`` - 1.

        Args:
            augmented: False for one view without augmentation, as in evaluation; True for the
                views of :meth:`Method.step`.
        """
        ...


class Method(Component, nn.Module):
    """Base class of SSL methods; a subclass defines its heads, its recipe and :meth:`step`.

    The host does everything else: EMA copies, queues, schedules, optimizer, online probe, mixed
    precision, distributed training and checkpoints.
    """

    kind: ClassVar[str] = "method"
    build_args: ClassVar[tuple[str, ...]] = ("backbone", "heads", "loss", "frozen_networks", "plan")

    heads: ClassVar[Mapping[str, str]] = {}
    """Name and input of each head: ``{"projector": "backbone", "predictor": "projector"}``. The
    host builds each head with the width of its input and assigns it to an attribute with the head's
    name, for :meth:`step` to call. The conformance kit treats a head on top of another head as a
    predictor and checks that the loss has a gradient only through it."""
    recipe: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Default settings for runs of this method, keyed by INI section. A configuration can override
    each of them."""
    ema: ClassVar[Sequence[str]] = ()
    """Names of the modules that have an EMA copy ``self.ema_<module>``: the backbone, heads, or
    modules created in :meth:`setup`. Copies receive no gradient. Dropout and stochastic depth in
    them are off; their batch norms stay in training mode, with their own statistics. The host
    updates them once per step with ``self.ema_decay``, a :class:`Schedule` that :meth:`setup` must
    set."""
    frozen: ClassVar[Sequence[str]] = ()
    """Names of frozen pretrained networks: for ``("teacher",)``, the host builds the backbone that
    the section ``[backbone.teacher]`` describes and assigns it to ``self.teacher``. The section
    takes the settings of any backbone and the key ``init_from``. Frozen networks stay in evaluation
    mode, receive no gradient, and are not in checkpoints, which contain a hash of their weights."""
    needs_tokens: ClassVar[bool] = False
    """True if :meth:`step` uses ``self.backbone.tokens`` with ``keep`` or ``mask``. A backbone
    without patches is refused before anything is trained."""
    uses_labels: ClassVar[bool] = False
    """True if :meth:`step` uses labels; otherwise ``batch.labels`` is None."""
    supports_multicrop: ClassVar[bool] = False
    """True if :meth:`step` accepts additional small views after the full-size ones."""
    min_views: ClassVar[int] = 2
    """Number of views that :meth:`step` takes; a minimum if :attr:`supports_multicrop` is True."""
    sync_batchnorm: ClassVar[bool] = True
    """True if batch norms share their statistics across all processes; MoCo sets it to False."""
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
    plan: Plan
    """Length of the run, number of images and size of the views; known in :meth:`setup`."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # heads and EMA copies are attributes
            ...

    def __init__(
        self,
        config: Settings,
        *,
        backbone: Backbone,
        heads: Mapping[str, Head],
        loss: Loss | None,
        frozen_networks: Mapping[str, Backbone] | None = None,
        plan: Plan | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.plan = plan or Plan()
        self.progress = Progress(0, self.plan.total_steps, 0)
        self.backbone = backbone
        if loss is not None:
            self.loss = loss
        for name, head in heads.items():
            setattr(self, name, head)
        for name, network in (frozen_networks or {}).items():
            network.view_mean, network.view_std = self.plan.mean, self.plan.std
            setattr(self, name, freeze(network))
        self.setup()
        for name in self.ema:
            setattr(self, f"ema_{name}", make_ema_copy(self._require_module(name, "ema")))
        self._require_module(self.encoder, "encoder")
        if self.ema and not isinstance(getattr(self, "ema_decay", None), Schedule):
            raise ContractError(
                f"{type(self).__qualname__} has EMA copies of {', '.join(self.ema)}, but setup() "
                "does not set self.ema_decay; write for example "
                "`self.ema_decay = CosineSchedule(0.99, 1.0)`"
            )

    def _require_module(self, name: str, attribute: str) -> nn.Module:
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

    def on_epoch_start(self, images: EpochImages) -> None:
        """Hook that runs before the first step of every epoch, in all processes.

        Use it, for example, to cluster all embeddings. It runs in evaluation mode, without
        gradients and without autocast. Store results in buffers, which are saved in checkpoints:
        the hook is not called again when a run resumes in the middle of an epoch.

        Args:
            images: the training images; ``images.batches()`` iterates over all of them once.
        """

    def before_optimizer_step(self) -> None:
        """Hook that runs before each optimizer step, when all gradients are complete.

        The gradients include all micro-batches and processes. They are unscaled and not yet
        clipped, and those of groups with ``frozen_until`` are still present. This runs under
        ``torch.no_grad()``; you may change ``parameter.grad`` in place.
        """

    def after_optimizer_step(self) -> None:
        """Hook that runs after each optimizer step and the update of EMA copies and queues.

        Schedules have been updated too. This runs under ``torch.no_grad()``; you may change
        parameters in place, for example to normalise prototypes.
        """

    def config_warnings(self, num_processes: int) -> Iterable[str]:
        """Return warnings about the method's settings, as sentences for the log and the report.

        Args:
            num_processes: number of processes that train together.
        """
        return ()

    def chance_level(self, num_images: int) -> float | None:
        """Return the loss of a network that does not tell images apart; None if not known.

        The host shows it next to the loss, and warns if the loss is still there after a tenth of
        the run. A method whose :meth:`step` returns ``self.loss(z1, z2)`` returns
        ``self.loss.chance_level(num_images)``.

        Args:
            num_images: number of images in a micro-batch, over all processes.
        """
        return None

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

        Raises:
            ContractError: if ``out.enqueue`` has a key that does not name a module of the method.
        """
        for name in self.ema:
            update_ema(getattr(self, f"ema_{name}"), getattr(self, name), float(self.ema_decay))
        for name, rows in out.enqueue.items():
            store: Any = self._require_module(name, "step(): enqueue")
            if isinstance(rows, Tensor):
                store.push(rows)
            else:
                store.put(*rows)
        self.progress = Progress(step + 1, total_steps, epoch)
        for schedule in self._schedules:
            schedule.set_step(step + 1, total_steps)
        self.after_optimizer_step()

    @cached_property
    def _schedules(self) -> list[Schedule]:
        """Return all schedules in the method and its modules."""
        # Cached, because walking through all modules takes longer than updating the schedules.
        return [module for module in self.modules() if isinstance(module, Schedule)]

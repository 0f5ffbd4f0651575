"""Base classes of methods in which a student predicts the prototypes of an EMA teacher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_host.contracts.batch import Batch, Plan
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone, Head
from ssl_host.contracts.settings import Settings
from ssl_host.toolkit.clustering import sinkhorn
from ssl_host.toolkit.ema import Centre
from ssl_host.toolkit.masks import blockwise_masks
from ssl_host.toolkit.schedules import CosineSchedule, LinearSchedule


class SelfDistillationMethod(Method):
    """Base class of methods in which a student predicts the prototypes of an EMA teacher.

    Caron et al., ICCV 2021, arXiv:2104.14294. It defines what DINO and its successors share: the
    EMA teacher, its centre and temperature, and prototypes that are not trained at first. A
    subclass adds the recipe, whose ``head.projector`` has prototypes (``name = dino``), and
    ``step``.
    """

    class Config(Settings):
        ema_decay: float = Field(
            0.996, ge=0, le=1, description="EMA decay in the first step; rises to 1 over the run"
        )
        teacher_temperature: float = Field(
            0.04, gt=0, le=10, description="temperature of the teacher after the warm-up"
        )
        warmup_teacher_temperature: float = Field(
            0.04, gt=0, le=10, description="temperature of the teacher in the first step"
        )
        warmup_teacher_epochs: float = Field(
            0.0,
            ge=0,
            le=1e6,
            description="number of epochs over which the teacher's temperature moves to "
            "teacher_temperature",
        )
        centre_momentum: float = Field(
            0.9, ge=0, le=1, description="weight of the previous centre in its moving average"
        )
        freeze_prototypes_epochs: float = Field(
            1.0,
            ge=0,
            le=1e6,
            description="number of epochs at the start in which the prototypes are not trained",
        )

    config: Config

    heads = {"projector": "backbone"}
    ema = ("backbone", "projector")
    encoder = "ema_backbone"
    supports_multicrop = True

    projector: Head
    ema_backbone: Backbone
    ema_projector: Head

    def setup(self) -> None:
        config = self.config
        self.ema_decay = CosineSchedule(config.ema_decay, 1.0)
        self.teacher_temperature = LinearSchedule(
            config.warmup_teacher_temperature,
            config.teacher_temperature,
            until=config.warmup_teacher_epochs / max(1, self.plan.epochs),
        )
        self.centre = self.make_centre()

    def make_centre(self) -> Centre:
        """Return a new centre for the scores of class tokens or patches."""
        return Centre(self.projector.output_dim, self.config.centre_momentum)

    def config_warnings(self, num_processes: int) -> Iterable[str]:
        return frozen_prototypes_warnings(self.config.freeze_prototypes_epochs, self.plan)

    def before_optimizer_step(self) -> None:
        if self.progress.epoch < self.config.freeze_prototypes_epochs:
            self.projector.prototypes.grad = self.projector.norm.grad = None


class MaskedSelfDistillationMethod(SelfDistillationMethod):
    """Base class of self-distillation methods that mask the student's full-size views.

    Zhou et al., ICLR 2022, arXiv:2111.07832. It adds the masks, the mask token and the centre of
    the patches' scores, which iBOT and DINOv2 share.
    """

    class Config(SelfDistillationMethod.Config):
        teacher_temperature: float = Field(
            0.07, gt=0, le=10, description="temperature of the teacher after the warm-up"
        )
        warmup_teacher_epochs: float = Field(
            30.0,
            ge=0,
            le=1e6,
            description="number of epochs over which the teacher's temperature moves to "
            "teacher_temperature",
        )
        mask_min: float = Field(0.1, ge=0, le=1, description="smallest masked fraction of a view")
        mask_max: float = Field(0.5, ge=0, le=1, description="largest masked fraction of a view")
        min_block: int = Field(
            16, ge=1, le=65536, description="smallest number of patches in a masked block"
        )
        assignment: Literal["centring", "sinkhorn"] = Field(
            "centring",
            description="how the teacher's scores become probabilities: softmax after subtracting "
            "the moving centre, or Sinkhorn-Knopp, which uses all prototypes equally",
        )

    config: Config

    needs_tokens = True

    def setup(self) -> None:
        super().setup()
        self.patch_centre = self.make_centre()
        self.mask_token = nn.Parameter(torch.zeros(self.backbone.embed_dim))

    def assign(self, scores: Tensor, centre: Centre) -> Tensor:
        """Return the teacher's probabilities of the prototypes for scores (..., K).

        With ``assignment = sinkhorn``, all rows of all processes are balanced together.
        """
        temperature = float(self.teacher_temperature)
        if self.config.assignment == "sinkhorn":
            return sinkhorn(scores.flatten(0, -2), temperature).view(scores.shape)
        return centre.probabilities(scores, temperature)

    def view_mask(self, batch: Batch, view: int) -> Tensor:
        """Return random masks (B, T) of a full-size view; an image has one with probability 0.5.

        Args:
            batch: the batch.
            view: index of the view.
        """
        config, name = self.config, f"mask{view}"
        grid = self.backbone.grid(*batch.views[view].shape[-2:])
        ratio = batch.rng.uniform(f"{name}.ratio", low=config.mask_min, high=config.mask_max)
        ratio = ratio * (batch.rng.uniform(f"{name}.on") < 0.5)
        count = (ratio * grid[0] * grid[1]).long()
        return blockwise_masks(batch.rng, grid, count, config.min_block, name)


def mask_weights(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the weight of each masked patch: 1 / (number of masked patches in its image).

    The M masked patches of the batch are in row-major order; the result has shape (M,).

    Args:
        mask: the masked patches, (B, T), bool.
        dtype: dtype of the weights.
    """
    return (mask.to(dtype) / mask.sum(dim=1, keepdim=True).clamp_min(1))[mask]


def frozen_prototypes_warnings(epochs: float, plan: Plan) -> Iterator[str]:
    """Yield a warning if prototypes are not trained in any epoch of a run.

    Args:
        epochs: value of ``[method] freeze_prototypes_epochs``. Prototypes stay frozen until the end
            of the epoch in which it is reached.
        plan: length of the run.
    """
    if plan.epochs and epochs > plan.epochs - 1:
        yield (
            f"[method] freeze_prototypes_epochs = {epochs:g}: prototypes are never trained, "
            f"because [run] epochs = {plan.epochs}; use a smaller value, such as 0, or more epochs"
        )

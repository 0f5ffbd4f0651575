"""The DINOv2 method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import (
    Backbone,
    Batch,
    Centre,
    CosineSchedule,
    Head,
    LinearSchedule,
    Method,
    Settings,
    StepOutput,
    blockwise_masks,
    cross_view_loss,
    full_precision,
    gather,
    gather_offset,
    sinkhorn,
)


class DINOv2(Method):
    """DINOv2: DINO on class tokens, iBOT on masked patches, and KoLeo on the student's features.

    Oquab et al., TMLR 2024, arXiv:2304.07193, section 4 and the authors' code.

    The authors mask exactly half of the views of a batch, with stratified ratios. Here the draw of
    an image does not depend on the others, which has the same expectation. KoLeo compares the
    images of all processes.
    """

    class Config(Settings):
        ema_decay: float = Field(
            0.992, ge=0, le=1, description="EMA decay in the first step; rises to 1 over the run"
        )
        teacher_temperature: float = Field(
            0.07, gt=0, le=10, description="temperature of the teacher after the warm-up"
        )
        warmup_teacher_temperature: float = Field(
            0.04, gt=0, le=10, description="temperature of the teacher in the first step"
        )
        warmup_teacher_epochs: float = Field(
            30.0, ge=0, le=1e6, description="epochs in which the teacher's temperature rises"
        )
        centre_momentum: float = Field(
            0.9, ge=0, le=1, description="weight of the previous centres in their moving averages"
        )
        freeze_prototypes_epochs: float = Field(
            1.0, ge=0, le=1e6, description="epochs in which the prototypes are not trained"
        )
        mask_min: float = Field(0.1, ge=0, le=1, description="smallest masked fraction of a view")
        mask_max: float = Field(0.5, ge=0, le=1, description="largest masked fraction of a view")
        min_block: int = Field(
            4, ge=1, le=65536, description="smallest number of patches in a masked block"
        )
        koleo: float = Field(0.1, ge=0, le=100, description="weight of the KoLeo regulariser")
        assignment: Literal["centring", "sinkhorn"] = Field(
            "sinkhorn", description="how the teacher's scores become probabilities"
        )

    config: Config

    heads = {"projector": "backbone"}
    ema = ("backbone", "projector")
    encoder = "ema_backbone"
    needs_tokens = True
    supports_multicrop = True
    recipe = {
        "augmentation": {
            "name": "dino",
            "crop_min": 0.32,
            "local_size": 98,
            "local_crop_max": 0.32,
        },
        "backbone": {"name": "timm", "model": "vit_small_patch14_reg4_dinov2", "drop_path": 0.3},
        "head.projector": {"name": "dino", "train_norm": True},
        "loss": {"name": "self_distillation"},
        "optimizer": {
            "name": "adamw",
            "base_lr": 4e-3,
            "scale_lr": "sqrt",
            "scale_lr_at": 1024,
            "weight_decay": 0.04,
            "weight_decay_end": 0.4,
            "layer_decay": 0.9,
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10, "min_factor": 0.00025},
        "trainer": {"gradient_clip": 3.0, "gradient_clip_by": "module"},
    }

    projector: Head
    ema_backbone: Backbone
    ema_projector: Head

    def setup(self) -> None:
        config, epochs = self.config, max(1, self.plan.epochs)
        self.ema_decay = CosineSchedule(config.ema_decay, 1.0)
        self.teacher_temperature = LinearSchedule(
            config.warmup_teacher_temperature,
            config.teacher_temperature,
            until=config.warmup_teacher_epochs / epochs,
        )
        self.centre = Centre(self.projector.output_dim, config.centre_momentum)
        self.patch_centre = Centre(self.projector.output_dim, config.centre_momentum)
        self.mask_token = nn.Parameter(torch.zeros(self.backbone.embed_dim))

    def before_optimizer_step(self) -> None:
        if self.progress.epoch < self.config.freeze_prototypes_epochs:
            self.projector.prototypes.grad = self.projector.norm.grad = None

    def step(self, batch: Batch) -> StepOutput:
        num_global = batch.num_global
        views, small = batch.views[:num_global], batch.views[num_global:]
        masks = [self._mask(batch, view) for view in range(num_global)]
        with torch.no_grad():
            teachers = [self.ema_backbone.tokens(view) for view in views]
            scores = [self.ema_projector(t.pooled) for t in teachers]
            masked = [t.patches[mask] for t, mask in zip(teachers, masks, strict=True)]
            patch_scores = self.ema_projector(torch.cat(masked))
            targets = [self._assign(s, self.centre) for s in scores]
            patch_targets = self._assign(patch_scores, self.patch_centre)
        students = [
            self.backbone.tokens(view, mask=mask, mask_token=self.mask_token)
            for view, mask in zip(views, masks, strict=True)
        ]
        outputs = [self.projector(s.pooled) for s in students]
        outputs += [self.projector(self.backbone(view)) for view in small]
        patch_loss = self._patch_loss([s.patches for s in students], patch_targets, masks)
        spread = torch.stack([koleo(s.pooled) for s in students]).sum()
        return StepOutput(
            cross_view_loss(self.loss, outputs, targets) + patch_loss + self.config.koleo * spread,
            features=teachers[0].pooled,
            enqueue={
                "centre": torch.stack(scores).mean(dim=0),
                "patch_centre": patch_scores,
            },
            logs={"patch_loss": patch_loss.detach(), "koleo": spread.detach()},
        )

    def _mask(self, batch: Batch, view: int) -> Tensor:
        """Return the masked patches of a view, (B, T): none in half of the images."""
        config, name = self.config, f"mask{view}"
        grid = self.backbone.grid(*batch.views[view].shape[-2:])
        ratio = batch.rng.uniform(f"{name}.ratio", low=config.mask_min, high=config.mask_max)
        ratio = ratio * (batch.rng.uniform(f"{name}.on") < 0.5)
        count = (ratio * grid[0] * grid[1]).long()
        return blockwise_masks(batch.rng, grid, count, self.config.min_block, name)

    def _patch_loss(
        self, patches: Sequence[Tensor], targets: Tensor, masks: Sequence[Tensor]
    ) -> Tensor:
        """Return the loss of the masked patches: mean per image, then over images and views."""
        per_image = [
            mask.to(targets.dtype) / mask.sum(dim=1, keepdim=True).clamp_min(1) for mask in masks
        ]
        weights = torch.cat([w[mask] for w, mask in zip(per_image, masks, strict=True)])
        masked = torch.cat([p[mask] for p, mask in zip(patches, masks, strict=True)])
        scale = len(masks) * len(masks[0])
        loss: Tensor = self.loss(self.projector(masked), targets, weights / scale)
        return loss

    def _assign(self, scores: Tensor, centre: Centre) -> Tensor:
        """Return the teacher's probabilities of the prototypes, with the shape of the scores."""
        temperature = float(self.teacher_temperature)
        if self.config.assignment == "sinkhorn":
            return sinkhorn(scores, temperature)
        return centre.probabilities(scores, temperature)


def koleo(features: Tensor) -> Tensor:
    """Return minus the mean log distance of each feature (B, D) to its nearest neighbour.

    Sablayrolles et al., arXiv:1806.03198, equation 3. The neighbours are the images of all
    processes.
    """
    with full_precision(features) as (exact,):
        unit = functional.normalize(exact, dim=1)
        everything = gather(unit)
        with torch.no_grad():
            similarity = unit @ everything.T
            own = torch.arange(len(unit), device=unit.device) + gather_offset(unit)
            nearest = similarity.scatter(1, own[:, None], -2.0).argmax(dim=1)
        # The norm of 0 has the gradient 0 in torch, so duplicates do no harm.
        distance = (unit - everything[nearest]).norm(dim=1)
        loss: Tensor = -(distance + 1e-8).log().mean()
        return loss

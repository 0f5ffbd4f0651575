"""The iBOT method."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

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
)


class IBOT(Method):
    """iBOT: DINO on class tokens, and the same for the masked patches of each full-size view.

    Zhou et al., ICLR 2022, arXiv:2111.07832, equations 2 to 4 and the authors' code.

    The student sees the full-size views with masked blocks of patches, the EMA teacher sees them
    whole. One head and one set of prototypes serve class tokens and patches.
    """

    class Config(Settings):
        ema_decay: float = Field(
            0.996, ge=0, le=1, description="EMA decay in the first step; rises to 1 over the run"
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
            16, ge=1, le=65536, description="smallest number of patches in a masked block"
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
            "crop_min": 0.25,
            "num_local": 10,
            "local_size": 96,
            "local_crop_max": 0.25,
        },
        "backbone": {"name": "timm", "model": "vit_small_patch16_224", "drop_path": 0.1},
        "head.projector": {"name": "dino", "output_dim": 8192, "train_norm": True},
        "loss": {"name": "self_distillation"},
        "optimizer": {
            "name": "adamw",
            "base_lr": 5e-4,
            "weight_decay": 0.04,
            "weight_decay_end": 0.4,
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10, "min_factor": 0.002},
        "trainer": {"gradient_clip": 3.0, "gradient_clip_by": "parameter"},
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
            patch_scores = [self.ema_projector(t.patches) for t in teachers]
            temperature = float(self.teacher_temperature)
            targets = [self.centre.probabilities(s, temperature) for s in scores]
            patch_targets = [self.patch_centre.probabilities(s, temperature) for s in patch_scores]
        students = [
            self.backbone.tokens(view, mask=mask, mask_token=self.mask_token)
            for view, mask in zip(views, masks, strict=True)
        ]
        outputs = [self.projector(s.pooled) for s in students]
        outputs += [self.projector(self.backbone(view)) for view in small]
        patch_losses = [
            self._patch_loss(student.patches, *parts)
            for student, *parts in zip(students, patch_targets, masks, strict=True)
        ]
        patch_loss = torch.stack(patch_losses).mean()
        return StepOutput(
            cross_view_loss(self.loss, outputs, targets) + patch_loss,
            features=teachers[0].pooled,
            enqueue={
                "centre": torch.stack(scores).mean(dim=0),
                "patch_centre": torch.stack(patch_scores).mean(dim=(0, 2)),
            },
            logs={"patch_loss": patch_loss.detach()},
        )

    def _mask(self, batch: Batch, view: int) -> Tensor:
        """Return the masked patches of a view, (B, T): none in half of the images."""
        config, name = self.config, f"mask{view}"
        grid = self.backbone.grid(*batch.views[view].shape[-2:])
        ratio = batch.rng.uniform(f"{name}.ratio", low=config.mask_min, high=config.mask_max)
        ratio = ratio * (batch.rng.uniform(f"{name}.on") < 0.5)
        count = (ratio * grid[0] * grid[1]).long()
        return blockwise_masks(batch.rng, grid, count, self.config.min_block, name)

    def _patch_loss(self, patches: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a view's masked patches: mean per image, then over all images."""
        share = mask.to(targets.dtype) / mask.sum(dim=1, keepdim=True).clamp_min(1)
        weights = share[mask] / len(mask)
        loss: Tensor = self.loss(self.projector(patches[mask]), targets[mask], weights)
        return loss

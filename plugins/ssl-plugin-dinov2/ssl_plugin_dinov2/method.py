"""The DINOv2 method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ssl_host import (
    Batch,
    MaskedSelfDistillationMethod,
    StepOutput,
    cross_view_loss,
    mask_weights,
)
from ssl_plugin_dinov2.koleo import koleo


class DINOv2(MaskedSelfDistillationMethod):
    """DINOv2: DINO on class tokens, iBOT on masked patches, KoLeo on the student's features.

    Oquab et al., TMLR 2024, arXiv:2304.07193, section 4 and the authors' code.

    The authors mask exactly half of the views of a batch, with stratified ratios. Here each
    image is masked independently of the others, with the same expectation. KoLeo compares the
    images of all processes.
    """

    class Config(MaskedSelfDistillationMethod.Config):
        ema_decay: float = Field(
            0.992, ge=0, le=1, description="EMA decay in the first step; rises to 1 over the run"
        )
        min_block: int = Field(
            4, ge=1, le=65536, description="smallest number of patches in a masked block"
        )
        koleo: float = Field(
            0.1,
            ge=0,
            le=100,
            description="weight of the KoLeo regulariser, which spreads the features",
        )
        assignment: Literal["centring", "sinkhorn"] = Field(
            "sinkhorn",
            description="how the teacher's scores become probabilities: softmax after subtracting "
            "the moving centre, or Sinkhorn-Knopp, which uses all prototypes equally",
        )

    config: Config

    recipe = {
        "augmentation": {
            "name": "dino",
            "crop_min": 0.32,
            "local_size": 98,
            "local_crop_max": 0.32,
        },
        "backbone": {"name": "timm", "model": "vit_small_patch14_reg4_dinov2", "drop_path": 0.3},
        "head.projector": {"name": "dino", "train_norm": True},
        "loss": {"name": "dino"},
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

    def step(self, batch: Batch) -> StepOutput:
        num_global = batch.num_global
        views, small = batch.views[:num_global], batch.views[num_global:]
        masks = [self.view_mask(batch, view) for view in range(num_global)]
        with torch.no_grad():
            teachers = [self.ema_backbone.tokens(view) for view in views]
            scores = [self.ema_projector(t.pooled) for t in teachers]
            masked = [t.patches[mask] for t, mask in zip(teachers, masks, strict=True)]
            patch_scores = self.ema_projector(torch.cat(masked))
            targets = [self.assign(s, self.centre) for s in scores]
            patch_targets = self.assign(patch_scores, self.patch_centre)
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
            enqueue={"centre": torch.stack(scores).mean(dim=0), "patch_centre": patch_scores},
            logs={"patch_loss": patch_loss.detach(), "koleo": spread.detach()},
        )

    def _patch_loss(
        self, patches: Sequence[Tensor], targets: Tensor, masks: Sequence[Tensor]
    ) -> Tensor:
        """Return the loss of the masked patches: mean per image, then over images and views."""
        weights = torch.cat([mask_weights(mask, targets.dtype) for mask in masks])
        masked = torch.cat([p[mask] for p, mask in zip(patches, masks, strict=True)])
        scale = len(masks) * len(masks[0])
        loss: Tensor = self.loss(self.projector(masked), targets, weights / scale)
        return loss

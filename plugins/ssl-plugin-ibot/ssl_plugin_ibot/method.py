"""The iBOT method."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_host import (
    Batch,
    MaskedSelfDistillationMethod,
    StepOutput,
    cross_view_loss,
    mask_weights,
)


class IBOT(MaskedSelfDistillationMethod):
    """iBOT: applies DINO to class tokens and to the masked patches of each full-size view.

    Zhou et al., ICLR 2022, arXiv:2111.07832, equations 2 to 4 and the authors' code.

    The student sees the full-size views with masked blocks of patches, the EMA teacher sees them
    whole. One head and one set of prototypes serve class tokens and patches.
    """

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
        "loss": {"name": "dino"},
        "optimizer": {
            "name": "adamw",
            "base_lr": 5e-4,
            "weight_decay": 0.04,
            "weight_decay_end": 0.4,
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10, "min_factor": 0.002},
        "trainer": {"gradient_clip": 3.0, "gradient_clip_by": "parameter"},
    }

    def step(self, batch: Batch) -> StepOutput:
        num_global = batch.num_global
        views, small = batch.views[:num_global], batch.views[num_global:]
        masks = [self.view_mask(batch, view) for view in range(num_global)]
        with torch.no_grad():
            teachers = [self.ema_backbone.tokens(view) for view in views]
            scores = [self.ema_projector(t.pooled) for t in teachers]
            patch_scores = [self.ema_projector(t.patches) for t in teachers]
            targets = [self.assign(s, self.centre) for s in scores]
            patch_targets = [self.assign(s, self.patch_centre) for s in patch_scores]
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

    def _patch_loss(self, patches: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of a view's masked patches: mean per image, then over all images."""
        weights = mask_weights(mask, targets.dtype) / len(mask)
        loss: Tensor = self.loss(self.projector(patches[mask]), targets[mask], weights)
        return loss

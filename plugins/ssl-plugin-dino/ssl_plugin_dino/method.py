"""The DINO method."""

from __future__ import annotations

import math

import torch

from ssl_host import (
    Batch,
    SelfDistillationMethod,
    StepOutput,
    cross_view_loss,
    encode_views,
)


class DINO(SelfDistillationMethod):
    """DINO: predicts the prototypes that an EMA teacher assigns to other views.

    Caron et al., ICCV 2021, arXiv:2104.14294, algorithm 1 and appendix C.

    The teacher sees the full-size views, the student all views. The teacher's similarities are
    centred by their moving average, which is updated after the step, and sharpened.
    """

    recipe = {
        "augmentation": {"name": "dino", "local_size": 96},
        "backbone": {"name": "timm", "model": "vit_small_patch16_224", "drop_path": 0.1},
        "head.projector": {"name": "dino"},
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
        with torch.no_grad():
            features = encode_views(self.ema_backbone, batch.views[: batch.num_global])
            scores = [self.ema_projector(f) for f in features]
            temperature = float(self.teacher_temperature)
            targets = [self.centre.probabilities(s, temperature) for s in scores]
        students = [self.projector(f) for f in encode_views(self.backbone, batch.views)]
        return StepOutput(
            cross_view_loss(self.loss, students, targets),
            features=features[0],
            enqueue={"centre": torch.stack(scores).mean(dim=0)},
        )

    def chance_level(self, num_images: int) -> float:
        return math.log(self.projector.output_dim)

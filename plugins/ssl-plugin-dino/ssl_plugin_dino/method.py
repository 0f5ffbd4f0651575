"""The DINO method."""

from __future__ import annotations

import torch
from pydantic import Field

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
    cross_view_loss,
    encode_views,
)


class DINO(Method):
    """DINO: predicts the prototypes that an EMA teacher assigns to other views.

    Caron et al., ICCV 2021, arXiv:2104.14294, algorithm 1 and appendix C.

    The teacher sees the full-size views, the student all views. The teacher's similarities are
    centred by their moving average, which is updated after the step, and sharpened.
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
            0.0, ge=0, le=1e6, description="epochs in which the teacher's temperature rises"
        )
        centre_momentum: float = Field(
            0.9, ge=0, le=1, description="weight of the previous centre in its moving average"
        )
        freeze_prototypes_epochs: float = Field(
            1.0, ge=0, le=1e6, description="epochs in which the prototypes are not trained"
        )

    config: Config

    heads = {"projector": "backbone"}
    ema = ("backbone", "projector")
    encoder = "ema_backbone"
    supports_multicrop = True
    recipe = {
        "augmentation": {"name": "dino", "local_size": 96},
        "backbone": {"name": "timm", "model": "vit_small_patch16_224", "drop_path": 0.1},
        "head.projector": {"name": "dino"},
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

    def before_optimizer_step(self) -> None:
        if self.progress.epoch < self.config.freeze_prototypes_epochs:
            self.projector.prototypes.grad = None

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

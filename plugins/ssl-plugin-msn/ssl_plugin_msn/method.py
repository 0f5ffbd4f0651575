"""The MSN method."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import (
    Backbone,
    Batch,
    Head,
    LinearSchedule,
    Method,
    ParamGroup,
    Settings,
    StepOutput,
    encode_views,
    full_precision,
    gather,
    indices_of,
    random_masks,
    sinkhorn,
)


class MSN(Method):
    """MSN: matches masked views with the prototypes that an EMA teacher assigns to other views.

    Assran et al., ECCV 2022, arXiv:2204.07141, equation 1 and the authors' code.

    The teacher sees the first view whole. The student sees the second without a random part of its
    patches, and the small views whole. A regulariser makes the mean prediction uniform. The
    authors drop the same patches in all images of a batch; here they are drawn for each image.
    """

    class Config(Settings):
        num_prototypes: int = Field(1024, ge=2, le=1_000_000, description="number of prototypes")
        mask_ratio: float = Field(
            0.15, ge=0, lt=1, description="fraction of the second view's patches that are dropped"
        )
        temperature: float = Field(
            0.1, gt=0, le=100, description="temperature of the student's softmax"
        )
        sharpening: float = Field(
            0.25, gt=0, le=1, description="factor for the temperature of the teacher's softmax"
        )
        entropy: float = Field(
            1.0, ge=0, le=1000, description="weight of the entropy of the mean prediction"
        )
        ema_decay: float = Field(
            0.996, ge=0, le=1, description="EMA decay in the first step; rises linearly to 1"
        )

    config: Config

    heads = {"projector": "backbone"}
    ema = ("backbone", "projector")
    encoder = "ema_backbone"
    needs_tokens = True
    supports_multicrop = True
    recipe = {
        "augmentation": {
            "name": "multicrop",
            "interpolation": "bilinear",
            "crop_min": 0.3,
            "local_crop_max": 0.3,
            "num_local": 10,
            "local_size": 96,
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.4,
            "hue": 0.1,
        },
        "backbone": {"name": "timm", "model": "vit_small_patch16_224"},
        "head.projector": {
            "hidden_dim": 2048,
            "output_dim": 256,
            "num_layers": 3,
            "activation": "gelu",
        },
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.04, "weight_decay_end": 0.4},
        "scheduler": {
            "name": "warmup_cosine",
            "warmup_epochs": 15,
            "start_factor": 0.2,
            "min_factor": 0.001,
        },
        "trainer": {"gradient_clip": 3.0},
    }

    projector: Head
    ema_backbone: Backbone
    ema_projector: Head

    def setup(self) -> None:
        self.ema_decay = LinearSchedule(self.config.ema_decay, 1.0)
        bound = self.projector.output_dim**-0.5
        prototypes = torch.empty(self.config.num_prototypes, self.projector.output_dim)
        self.prototypes = nn.Parameter(prototypes.uniform_(-bound, bound))

    def param_groups(self) -> Iterable[ParamGroup]:
        yield ParamGroup("networks", list(self.trainable_parameters("backbone", "projector")))
        prototypes = list(self.trainable_parameters("prototypes"))
        yield ParamGroup("prototypes", prototypes, weight_decay=0.0)

    def step(self, batch: Batch) -> StepOutput:
        target, anchor, *small = batch.views
        rows, columns = self.backbone.grid(*anchor.shape[-2:])
        dropped = random_masks(batch.rng, rows * columns, self.config.mask_ratio)
        masked = self.backbone.tokens(anchor, keep=indices_of(~dropped)).pooled
        # As in the authors' code, the head's batch norm sees the views of one size together.
        anchors = self.projector(masked)
        if small:
            local = torch.cat(encode_views(self.backbone, small))
            anchors = torch.cat([anchors, self.projector(local)])
        with torch.no_grad():
            features = self.ema_backbone(target)
            teacher = self.ema_projector(features)
        with full_precision(anchors, teacher) as (z, t):
            logits = self._similarities(z) / self.config.temperature
            targets = self._targets(t).repeat(1 + len(small), 1)
            match = functional.cross_entropy(logits, targets)
            mean = gather(logits.softmax(dim=1).mean(dim=0)[None]).mean(dim=0)
            entropy = -torch.special.xlogy(mean, mean).sum()
            loss = match + self.config.entropy * (math.log(self.config.num_prototypes) - entropy)
        logs = {"entropy": entropy.detach()}
        return StepOutput(loss, features=features, logs=logs)

    def _similarities(self, rows: Tensor) -> Tensor:
        """Return the cosine similarities of rows (B, D) with the prototypes, (B, K)."""
        prototypes = functional.normalize(self.prototypes.to(rows.dtype), dim=1)
        return functional.normalize(rows, dim=1) @ prototypes.T

    @torch.no_grad()
    def _targets(self, rows: Tensor) -> Tensor:
        """Return the teacher's sharpened and balanced probabilities of the prototypes, (B, K)."""
        sharp = self._similarities(rows) / (self.config.temperature * self.config.sharpening)
        return sinkhorn(sharp.log_softmax(dim=1), temperature=1.0)

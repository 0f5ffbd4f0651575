"""The LeJEPA method."""

from __future__ import annotations

import torch
from pydantic import Field

from ssl_host import Batch, Head, Method, Settings, StepOutput, encode_views, full_precision


class LeJEPA(Method):
    """LeJEPA: pulls all views of an image together and makes embeddings normally distributed.

    Balestriero & LeCun 2025, arXiv:2511.08544, algorithm 2.

    There is no teacher, predictor or stop-gradient. Every view is compared with the mean of the
    full-size views, and the distribution of each view's embeddings is regularised.
    """

    class Config(Settings):
        regularisation: float = Field(
            0.05,
            ge=0,
            le=1,
            description="weight λ of the regularisation; the distance between views is weighted "
            "with 1 - λ",
        )

    config: Config

    heads = {"projector": "backbone"}
    supports_multicrop = True
    recipe = {
        "augmentation": {
            "name": "multicrop",
            "interpolation": "bilinear",
            "crop_min": 0.3,
            "local_crop_max": 0.3,
            "local_size": 96,
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.2,
            "hue": 0.1,
            "solarize": 0.2,
        },
        "backbone": {"name": "timm", "model": "vit_small_patch16_224", "drop_path": 0.1},
        "head.projector": {
            "hidden_dim": 2048,
            "output_dim": 128,
            "num_layers": 3,
        },
        "loss": {"name": "sigreg"},
        "optimizer": {
            "name": "adamw",
            "lr": 5e-4,
            "weight_decay": 0.05,
            "decay_params": "all",
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 1, "min_factor": 0.001},
    }

    projector: Head

    def step(self, batch: Batch) -> StepOutput:
        features = encode_views(self.backbone, batch.views)
        count = len(batch.index)
        with full_precision(self.projector(torch.cat(features))) as (projected,):
            z = projected.split(count)
            centre = torch.stack(z[: batch.num_global]).mean(dim=0)
            distance = (torch.stack(z) - centre).square().mean()
        # The directions of a step are the same in all processes and micro-batches.
        seed = int(batch.rng.shared_uniform("directions", 0, 2**24))
        normality = self.loss(*z, seed=seed)
        weight = self.config.regularisation
        return StepOutput(
            (1 - weight) * distance + weight * normality,
            features=features[0],
            logs={"distance": distance.detach(), "normality": normality.detach()},
        )

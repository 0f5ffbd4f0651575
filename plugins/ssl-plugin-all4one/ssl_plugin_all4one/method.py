"""The All4One method."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_host import (
    Backbone,
    Batch,
    CosineSchedule,
    FeatureQueue,
    Head,
    Method,
    ParamGroup,
    Settings,
    StepOutput,
    UserError,
    contrast_in_batch,
    full_precision,
)

from .networks import feature_distance, predictor, sine_positions

NUM_LAYERS, NUM_HEADS = 3, 8
"""Size of the transformer that summarises neighbours."""
FEATURE_WEIGHT = 2.5
"""Weight of each term of the cross-correlation in solo-learn's code."""


class All4One(Method):
    """All4One: contrasts with the nearest neighbours, one by one and joined by self-attention.

    Estepa et al., ICCV 2023, arXiv:2303.09417, section 3 and solo-learn's code.

    The loss is a weighted sum of three terms: NNCLR's loss; a contrastive loss between a
    transformer's summaries of several neighbours; and the distance between the identity and the
    cross-correlation with the EMA network. The transformer's position embeddings are fixed sines
    and cosines.
    """

    class Config(Settings):
        queue_size: int = Field(
            98_304, ge=5, le=10_000_000, description="number of past embeddings in the queue"
        )
        num_neighbours: int = Field(
            5, ge=2, le=64, description="number of neighbours that the transformer summarises"
        )
        temperature: float = Field(
            0.1,
            gt=0,
            le=100,
            description="temperature of the contrastive loss between the summaries",
        )
        predictor_dim: int = Field(
            4096, ge=1, le=65536, description="width of the hidden layer of both predictors"
        )
        dropout: float = Field(
            0.0, ge=0, lt=1, description="dropout of the transformer; solo-learn's code uses 0.1"
        )
        transformer_lr_scale: float = Field(
            0.1, gt=0, le=10, description="factor for the learning rate of the transformer"
        )
        ema_decay: float = Field(
            0.99, ge=0, le=1, description="EMA decay in the first step; rises to 1 over the run"
        )

    config: Config

    heads = {"projector": "backbone"}
    ema = ("backbone", "projector")
    recipe = {
        "augmentation": {"name": "byol"},
        "head.projector": {
            "hidden_dim": 2048,
            "output_dim": 256,
            "num_layers": 3,
            "last_norm": True,
        },
        "loss": {"name": "info_nce", "temperature": 0.2},
        "optimizer": {
            "name": "lars",
            "base_lr": 1.0,
            "trust": 0.02,
            "clip": True,
            "weight_decay": 1e-5,
        },
        "scheduler": {"name": "warmup_cosine", "warmup_epochs": 10},
    }

    projector: Head
    ema_backbone: Backbone
    ema_projector: Head
    positions: Tensor

    def setup(self) -> None:
        config, width = self.config, self.projector.output_dim
        if width % NUM_HEADS:
            raise UserError(
                f"[head.projector] output_dim = {width}: the transformer has {NUM_HEADS} attention "
                f"heads, so use a multiple of {NUM_HEADS}"
            )
        self.ema_decay = CosineSchedule(config.ema_decay, 1.0)
        self.queue = FeatureQueue(config.queue_size, width)
        self.predictor = predictor(width, config.predictor_dim)
        self.neighbour_predictor = predictor(width, config.predictor_dim)
        layer = nn.TransformerEncoderLayer(
            width, NUM_HEADS, 2 * width, config.dropout, batch_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, NUM_LAYERS, enable_nested_tensor=False)
        self.register_buffer("positions", sine_positions(config.num_neighbours, width))

    def param_groups(self) -> Iterable[ParamGroup]:
        networks = ("backbone", "projector", "predictor", "neighbour_predictor")
        yield ParamGroup("networks", list(self.trainable_parameters(*networks)))
        transformer = list(self.trainable_parameters("transformer"))
        yield ParamGroup("transformer", transformer, lr_scale=self.config.transformer_lr_scale)

    def step(self, batch: Batch) -> StepOutput:
        h1, h2 = map(self.backbone, batch.views)
        z1, z2 = self.projector(h1), self.projector(h2)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        with torch.no_grad():
            t1, t2 = (self.ema_projector(self.ema_backbone(view)) for view in batch.views)
            n1, n2 = (self.queue.nearest(t, self.config.num_neighbours) for t in (t1, t2))
        single = (self.loss(n1[:, 0], p2) + self.loss(n2[:, 0], p1)) / 2
        q1, q2 = self.neighbour_predictor(z1), self.neighbour_predictor(z2)
        joined = self._contrast(self._summary(n1), self._summary(_shifted(q2, n2))) / 2
        joined = joined + self._contrast(self._summary(n2), self._summary(_shifted(q1, n1))) / 2
        loss = single / 2 + joined / 2 + FEATURE_WEIGHT * feature_distance((t1, t2), (z2, z1))
        return StepOutput(loss, features=h1, enqueue={"queue": t1})

    def _summary(self, neighbours: Tensor) -> Tensor:
        """Return the transformer's first output for sequences (B, k, D): (B, D)."""
        summary: Tensor = self.transformer(neighbours + self.positions)[:, 0]
        return summary

    def _contrast(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the cross entropy of each query with its key among the keys of all processes."""
        with full_precision(queries, keys) as (q, k):
            return contrast_in_batch(q, k, self.config.temperature)


def _shifted(first: Tensor, neighbours: Tensor) -> Tensor:
    """Return neighbours (B, k, D) with ``first`` (B, D) in front and without the last one.

    The result has shape (B, k, D).
    """
    return torch.cat([first[:, None], neighbours[:, :-1].to(first.dtype)], dim=1)

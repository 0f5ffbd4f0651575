"""The DeepCluster v2 method."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import (
    Batch,
    EpochImages,
    Head,
    MemoryBank,
    Method,
    Settings,
    StepOutput,
    encode_views,
    full_precision,
    spherical_kmeans,
)

UNSEEN = -100
"""Cluster index of an image without an embedding; the loss ignores it."""


class DeepClusterV2(Method):
    """DeepCluster v2: predicts the clusters that k-means finds in the last epoch's embeddings.

    Caron et al., NeurIPS 2020, arXiv:2006.09882, appendix C, and the authors' code.

    The embeddings of each full-size view fill a memory bank, and are clustered several times before
    each epoch. Centroids are never trained. All views of an image predict its clusters.
    """

    class Config(Settings):
        num_clusters: int = Field(
            3000, ge=2, le=1_000_000, description="number of clusters in each clustering"
        )
        num_clusterings: int = Field(
            3, ge=1, le=64, description="number of k-means clusterings before each epoch"
        )
        num_iterations: int = Field(10, ge=1, le=1000, description="number of k-means iterations")
        temperature: float = Field(0.1, gt=0, le=100, description="temperature of the softmax")

    config: Config

    heads = {"projector": "backbone"}
    supports_multicrop = True
    recipe = {
        # The number is the default; naming it gives a note if a data source replaces the views.
        "augmentation": {"name": "multicrop", "num_local": 6},
        "backbone": {"name": "timm", "model": "resnet50"},
        "head.projector": {"hidden_dim": 2048, "output_dim": 128},
        "optimizer": {
            "name": "lars",
            "lr": 4.8,
            "weight_decay": 1e-6,
            "decay_params": "all",
        },
        "scheduler": {
            "name": "warmup_cosine",
            "warmup_epochs": 10,
            "start_factor": 0.0625,
            "min_factor": 0.001,
        },
    }

    projector: Head
    clusters: Tensor
    centroids: Tensor

    def setup(self) -> None:
        config, width, count = self.config, self.projector.output_dim, self.plan.num_images
        self.memory0, self.memory1 = MemoryBank(count, width), MemoryBank(count, width)
        shape = config.num_clusterings, config.num_clusters, width
        self.register_buffer("centroids", torch.zeros(shape))
        unseen = torch.full((config.num_clusterings, count), UNSEEN)
        self.register_buffer("clusters", unseen)

    def on_epoch_start(self, images: EpochImages) -> None:
        if not self.memory0.seen.any():
            for batch in images.batches():
                z = self._embed(self.backbone(batch.views[0]))
                self.memory0.put(batch.index, z)
                self.memory1.put(batch.index, z)
        for k in range(self.config.num_clusterings):
            memory = (self.memory0, self.memory1)[k % 2]
            seen = memory.seen.nonzero().flatten()
            seed = self.plan.seed + 1000 * self.progress.epoch + k
            self.centroids[k], found = spherical_kmeans(
                memory.rows[seen], self.config.num_clusters, self.config.num_iterations, seed
            )
            self.clusters[k].fill_(UNSEEN)
            self.clusters[k, seen] = found

    def step(self, batch: Batch) -> StepOutput:
        features = encode_views(self.backbone, batch.views)
        embeddings = [self._embed(f) for f in features]
        labels = self.clusters[:, batch.index]
        losses = []
        for z in embeddings:
            with full_precision(z) as (exact,):
                for centroids, label in zip(self.centroids, labels, strict=True):
                    logits = exact @ centroids.T / self.config.temperature
                    losses.append(functional.cross_entropy(logits, label, ignore_index=UNSEEN))
        memories = {f"memory{i}": (batch.index, z) for i, z in enumerate(embeddings[:2])}
        return StepOutput(torch.stack(losses).mean(), features=features[0], enqueue=memories)

    def _embed(self, features: Tensor) -> Tensor:
        """Return embeddings of unit length, (B, D)."""
        return functional.normalize(self.projector(features), dim=1)

"""The MoCo v2 method."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_host import (
    Backbone,
    Batch,
    ConstantSchedule,
    FeatureQueue,
    Head,
    Method,
    Settings,
    StepOutput,
    shuffle_keys,
    unshuffle_keys,
)


class MoCoV2(Method):
    """MoCo v2: contrasts each query with its key and a queue of past keys from an EMA network.

    Chen et al. 2020, arXiv:2003.04297; He et al., CVPR 2020, arXiv:1911.05722.

    The first view is the query, the second the key; negatives come from a queue of past keys. With
    ``symmetric``, each view is both query and key, and the keys of each view have a separate queue;
    solo-learn calls that MoCo v2+. Keys are shuffled across processes, so batch-norm statistics do
    not reveal which key belongs to a query. On a single process, ``bn_splits`` above 1 has the same
    effect, as in the authors' CIFAR example.
    """

    class Config(Settings):
        queue_size: int = Field(
            65_536, ge=1, le=10_000_000, description="number of keys in the queue of negatives"
        )
        ema_decay: float = Field(0.999, ge=0, le=1, description="EMA decay of the key encoder")
        symmetric: bool = Field(
            False, description="use each view as query and as key, and average both losses"
        )
        bn_splits: int = Field(
            1,
            ge=1,
            le=1024,
            description="number of chunks per batch; each has separate batch-norm statistics",
        )

    config: Config

    heads = {"projector": "backbone"}
    ema = ("backbone", "projector")
    sync_batchnorm = False
    recipe = {
        "augmentation": {"name": "symmetric_weak"},
        "head.projector": {
            "hidden_dim": 2048,
            "output_dim": 128,
            "num_layers": 2,
            "hidden_norm": False,
        },
        "loss": {"name": "info_nce", "temperature": 0.2},
        "optimizer": {"name": "sgd", "base_lr": 0.03, "weight_decay": 1e-4, "decay_params": "all"},
    }

    projector: Head
    ema_backbone: Backbone
    ema_projector: Head

    def setup(self) -> None:
        self.ema_decay = ConstantSchedule(self.config.ema_decay)
        self.queue = FeatureQueue(self.config.queue_size, self.projector.output_dim)
        if self.config.symmetric:
            width = self.projector.output_dim
            self.first_queue = FeatureQueue(self.config.queue_size, width, seed=1)

    def config_warnings(self, num_processes: int) -> Iterable[str]:
        if num_processes == 1 and self.config.bn_splits == 1:
            yield (
                "[method] bn_splits = 1 on one process: batch norm sees all keys together, so "
                "shuffling has no effect and the network can cheat (arXiv:1911.05722, section "
                "3.3); set bn_splits = 8, as the authors do"
            )

    def step(self, batch: Batch) -> StepOutput:
        first, second = batch.views
        features = self._in_splits(self.backbone, first)
        keys = self._keys(second)
        loss, enqueue = self.loss(self.projector(features), keys, self.queue.rows), {"queue": keys}
        if self.config.symmetric:
            query = self.projector(self._in_splits(self.backbone, second))
            keys = self._keys(first)
            loss = (loss + self.loss(query, keys, self.first_queue.rows)) / 2
            enqueue["first_queue"] = keys
        return StepOutput(loss, features=features, enqueue=enqueue)

    def chance_level(self, num_images: int) -> float | None:
        return self.loss.chance_level(self.config.queue_size + 1)

    @torch.no_grad()
    def _keys(self, view: Tensor) -> Tensor:
        """Return the keys (B, D) of a view, encoded after shuffling images across processes."""
        # The host updates the EMA networks at the end of the previous step, which is equivalent
        # to the paper's update at the beginning of this one.
        images, order = shuffle_keys(view, seed=self.progress.step)
        keys = self.ema_projector(self._in_splits(self.ema_backbone, images))
        return unshuffle_keys(keys, order)

    def _in_splits(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return the network's outputs for images that it processes in ``bn_splits`` chunks."""
        return torch.cat([network(chunk) for chunk in images.chunk(self.config.bn_splits)])

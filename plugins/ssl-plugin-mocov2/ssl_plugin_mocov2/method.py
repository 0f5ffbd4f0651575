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
    """MoCo v2: contrasts each query with its key and with past keys, all from an EMA network.

    Chen et al. 2020, arXiv:2003.04297; He et al., CVPR 2020, arXiv:1911.05722.

    The first view is the query, the second the key; negatives come from a queue of past keys. The
    loss is not symmetrised. Keys are shuffled across processes, so batch-norm statistics do not
    reveal which key belongs to a query. On a single process, ``bn_splits`` has the same effect, as
    in the authors' CIFAR example.
    """

    class Config(Settings):
        queue_size: int = Field(
            65_536, ge=1, le=10_000_000, description="number of keys in the queue of negatives"
        )
        ema_decay: float = Field(0.999, ge=0, le=1, description="EMA decay of the key encoder")
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

    def config_warnings(self, num_processes: int) -> Iterable[str]:
        if num_processes == 1 and self.config.bn_splits == 1:
            yield (
                "[method] bn_splits = 1 on one process: batch norm sees all keys together, so "
                "shuffling has no effect and the network can cheat (arXiv:1911.05722, section "
                "3.3); the authors use 8"
            )

    def step(self, batch: Batch) -> StepOutput:
        features = self._in_splits(self.backbone, batch.views[0])
        with torch.no_grad():
            # The host updates the EMA networks at the end of the previous step, which is
            # equivalent to the paper's update at the beginning of this one.
            images, order = shuffle_keys(batch.views[1], seed=self.progress.step)
            keys = self.ema_projector(self._in_splits(self.ema_backbone, images))
            keys = unshuffle_keys(keys, order)
        loss = self.loss(self.projector(features), keys, self.queue.rows)
        return StepOutput(loss, features=features, enqueue={"queue": keys})

    def _in_splits(self, network: nn.Module, images: Tensor) -> Tensor:
        """Apply a network to ``bn_splits`` chunks of the images and return all outputs."""
        return torch.cat([network(chunk) for chunk in images.chunk(self.config.bn_splits)])

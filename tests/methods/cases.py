"""Small float64 instances of the six methods, and fixed views."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import ssl_host
from ssl_host import Batch, Method

METHODS = ("simclr", "simsiam", "barlowtwins", "nnclr", "byol", "mocov2")
SMALL: dict[str, dict[str, Any]] = {
    "simclr": {"head.projector": {"hidden_dim": 12, "output_dim": 6}},
    "simsiam": {
        "head.projector": {"hidden_dim": 12, "output_dim": 10},
        "head.predictor": {"hidden_dim": 5},
    },
    "barlowtwins": {"head.projector": {"hidden_dim": 12, "output_dim": 7}},
    "nnclr": {
        "queue_size": 13,
        "head.projector": {"hidden_dim": 12, "output_dim": 6},
        "head.predictor": {"hidden_dim": 9},
    },
    "byol": {
        "head.projector": {"hidden_dim": 12, "output_dim": 6},
        "head.predictor": {"hidden_dim": 9},
    },
    "mocov2": {"queue_size": 13, "head.projector": {"hidden_dim": 12, "output_dim": 6}},
}


def small(name: str, seed: int = 0, **settings: Any) -> Method:
    """Return a method with a tiny backbone, float64, in training mode."""
    torch.manual_seed(seed)
    backbone = ssl_host.build(
        "backbone", "small_conv", in_channels=1, image_size=8, width=4, num_stages=2
    )
    merged = {**SMALL[name], **settings}
    method: Method = ssl_host.build("method", name, backbone=backbone, **merged)
    return method.double().train()


def views(count: int, seed: int = 0) -> list[Tensor]:
    """Return two fixed views of ``count`` images."""
    generator = torch.Generator().manual_seed(seed)
    pair = torch.randn(2, count, 1, 8, 8, generator=generator, dtype=torch.float64)
    return list(pair)


def batch(count: int, seed: int = 0) -> Batch:
    """Return the views as a batch."""
    return Batch(views(count, seed), torch.arange(count))


def gradients(method: Method, loss: Tensor) -> Tensor:
    """Return the gradient of all trainable parameters as one vector."""
    parameters = [p for _, p in method.trainable_parameters()]
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

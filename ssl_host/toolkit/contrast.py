"""Contrast of queries with keys of all processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.toolkit.distributed import gather, gather_offset


def contrast_in_batch(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return the mean cross entropy of each query with its key among the keys of all processes.

    InfoNCE, arXiv:1807.03748, equation 4, without other negatives. Queries and keys have gradients.
    Use it in a loss or under :func:`ssl_host.full_precision`.

    Args:
        queries: (B, D); they are compared by cosine similarity.
        keys: (B, D); row i is the key of query i.
        temperature: temperature of the softmax.
    """
    logits = functional.normalize(queries, dim=1) @ gather(functional.normalize(keys, dim=1)).T
    target = torch.arange(len(queries), device=queries.device) + gather_offset(queries)
    return functional.cross_entropy(logits / temperature, target)

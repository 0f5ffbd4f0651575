"""Balanced soft assignments (Sinkhorn-Knopp) and spherical k-means, over all processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from ssl_host.toolkit.distributed import rank, world_size


@torch.no_grad()
def sinkhorn(
    scores: Tensor,
    temperature: float = 0.05,
    iterations: int = 3,
    shared: Tensor | None = None,
) -> Tensor:
    """Return soft assignments that use all prototypes equally: SwAV, arXiv:2006.09882, eq. 3.

    The images of all processes are balanced together, in float32 or float64.

    Args:
        scores: similarities of the images of this process with the prototypes, (B, K).
        temperature: divides the scores; SwAV's ε.
        iterations: number of times that prototypes and images are normalised.
        shared: scores (Q, K) that are balanced together with the images and are the same in all
            processes, such as those of a queue.

    Returns:
        The assignments, (B, K); each row sums to 1.
    """
    scores = scores if scores.dtype == torch.float64 else scores.float()
    count = len(scores)
    if shared is not None:  # each process adds its share, so that every row counts once
        scores = torch.cat([scores, shared[rank() :: world_size()].to(scores.dtype)])
    # Use logarithms, because the exponentials of distant scores would be 0 for a whole image.
    logits = scores / temperature
    for _ in range(iterations):
        logits = logits - _logsumexp_over_images(logits)
        logits = logits - logits.logsumexp(dim=1, keepdim=True)
    return logits[:count].exp()


@torch.no_grad()
def spherical_kmeans(
    rows: Tensor, num_clusters: int, iterations: int = 10, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Cluster unit vectors by cosine similarity, as in DeepCluster v2.

    Caron et al., arXiv:2006.09882, appendix C. Centroids start at random rows. A cluster that
    becomes empty keeps its centroid.

    Args:
        rows: unit vectors, (N, D), the same in all processes, such as the rows of a memory bank.
        num_clusters: number of clusters K, at most N.
        iterations: number of iterations.
        seed: seed for the choice of the initial centroids.

    Returns:
        The centroids, unit vectors (K, D), and the cluster of each row, (N,), int64.

    Raises:
        ValueError: if there are fewer rows than clusters.
    """
    if num_clusters > len(rows):
        raise ValueError(
            f"cannot make {num_clusters} clusters from {len(rows)} images; use fewer clusters"
        )
    generator = torch.Generator().manual_seed(seed)
    first = torch.randperm(len(rows), generator=generator)[:num_clusters]
    centroids = rows[first.to(rows.device)].clone()
    for _ in range(iterations):
        assigned = _nearest(rows, centroids)
        sums = torch.zeros_like(centroids).index_add_(0, assigned, rows)
        is_used = torch.bincount(assigned, minlength=num_clusters)[:, None] > 0
        centroids = torch.where(is_used, functional.normalize(sums, dim=1), centroids)
    return centroids, _nearest(rows, centroids)


def _nearest(rows: Tensor, centroids: Tensor) -> Tensor:
    """Return the index of the most similar centroid for each row, in chunks of bounded memory."""
    return torch.cat([(part @ centroids.T).argmax(dim=1) for part in rows.split(16_384)])


def _logsumexp_over_images(logits: Tensor) -> Tensor:
    """Return the log of the sum of exponentials over the images of all processes: (K,)."""
    if len(logits):
        largest = logits.max(dim=0).values
    else:
        largest = logits.new_full(logits.shape[1:], -torch.inf)
    if world_size() > 1:
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    sums = (logits - largest).exp().sum(dim=0)
    if world_size() > 1:
        dist.all_reduce(sums)
    return largest + sums.log()

"""Built-in losses."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Loss, Settings, contrast_in_batch, gather, gather_offset


class NegativeCosine(Loss):
    """Negative cosine similarity without a stop-gradient: SimSiam, arXiv:2011.10566, eq. 1.

    ``loss(p, z)`` takes predictions and targets (B, D) and is averaged over the batch. The SSL
    method decides where to stop the gradient, for example by passing ``z.detach()``.
    """

    def forward(self, p: Tensor, z: Tensor) -> Tensor:
        return -functional.cosine_similarity(p, z, dim=1).mean()

    def chance_level(self, num_images: int) -> float:
        """Return 0, the mean over independent directions."""
        return 0.0


class NTXent(Loss):
    """Normalised temperature-scaled cross entropy: SimCLR, arXiv:2002.05709, eq. 1.

    ``loss(z1, z2)`` takes the embeddings (B, D) of two views and is averaged over these 2B
    embeddings. Each is compared with the 2N - 1 other embeddings of the N images on all ranks.
    """

    class Config(Settings):
        temperature: float = Field(0.1, gt=0, le=100, description="temperature of the softmax")

    config: Config

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        own = functional.normalize(torch.stack([z1, z2]), dim=2)
        gathered = torch.stack([gather(own[0]), gather(own[1])])
        total = gathered.shape[1]
        logits = own.flatten(0, 1) @ gathered.flatten(0, 1).T / self.config.temperature
        index = torch.arange(len(z1), device=z1.device) + gather_offset(z1)
        own_index = torch.cat([index, index + total])
        positive = torch.cat([index + total, index])
        logits = logits.scatter(1, own_index[:, None], float("-inf"))
        return functional.cross_entropy(logits, positive)

    def chance_level(self, num_images: int) -> float:
        """Return ln(2N - 1): each embedding is compared with all others."""
        return math.log(2 * num_images - 1)


class InfoNCE(Loss):
    """Cross entropy of a query with its positive and negatives: arXiv:1807.03748, eq. 4.

    ``loss(query, positive, negatives)`` takes queries and positives (B, D) and compares them by
    cosine similarity. With negatives (K, D), such as a queue (MoCo, arXiv:1911.05722, eq. 1), each
    query is compared with its positive and all K negatives. Without negatives, it is compared
    with the positives of all images on all ranks (NNCLR, arXiv:2104.14548, eq. 3).
    """

    class Config(Settings):
        temperature: float = Field(0.1, gt=0, le=100, description="temperature of the softmax")

    config: Config

    def forward(self, query: Tensor, positive: Tensor, negatives: Tensor | None = None) -> Tensor:
        if negatives is None:
            return contrast_in_batch(query, positive, self.config.temperature)
        query = functional.normalize(query, dim=1)
        positive = functional.normalize(positive, dim=1)
        negatives = functional.normalize(negatives.to(query.dtype), dim=1)
        own = (query * positive).sum(dim=1, keepdim=True)
        logits = torch.cat([own, query @ negatives.T], dim=1)
        target = torch.zeros(len(query), dtype=torch.int64, device=query.device)
        return functional.cross_entropy(logits / self.config.temperature, target)

    def chance_level(self, num_images: int) -> float:
        """Return ln N; with a queue of K negatives, ``num_images`` is K + 1."""
        return math.log(num_images)


class DINOLoss(Loss):
    """Cross entropy of a student with a teacher's probabilities: DINO, arXiv:2104.14294, eq. 2.

    ``loss(student, teacher)`` takes the student's similarities to K prototypes and the
    teacher's probabilities of the prototypes, both (B, K). The result is the mean of the B cross
    entropies, or their sum weighted by ``weights`` (B,) if these are given.
    """

    class Config(Settings):
        temperature: float = Field(
            0.1, gt=0, le=100, description="temperature of the student's softmax"
        )

    config: Config

    def forward(self, student: Tensor, teacher: Tensor, weights: Tensor | None = None) -> Tensor:
        log_probabilities = functional.log_softmax(student / self.config.temperature, dim=-1)
        rows = -(teacher * log_probabilities).sum(dim=-1)
        return rows.mean() if weights is None else (rows * weights).sum()

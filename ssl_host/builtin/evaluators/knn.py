"""Evaluator ``knn``: a weighted k-nearest-neighbour classifier."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Settings
from ssl_host.builtin.evaluators.accuracy import ACCURACY, AccuracyCounter

FEW_IMAGES = 50
"""Average number of training images per class below which the default k is 20, not 200."""

KEY_BLOCK = 65_536
"""Number of training images that are compared with the test images at a time."""


class WeightedKNN(Evaluator):
    """Accuracy of a weighted kNN classifier: Wu et al., arXiv:1805.01978, section 3.4.

    The weight of a neighbour is exp(s/T), where s is the cosine similarity. By default k is 200, or
    20 if there are fewer than 50 training images per class on average.
    """

    figures = ACCURACY

    class Config(Settings):
        k: int | None = Field(
            None,
            ge=1,
            le=100_000,
            description="number of neighbours; default: 200, or 20 if there are fewer than 50 "
            "images per class",
        )
        temperature: float = Field(0.07, gt=0, le=100, description="temperature T of the weights")
        block: int = Field(
            1024,
            ge=1,
            le=1_000_000,
            description="number of test images that are classified at a time",
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.test is not None
        assert bank.train.y is not None
        assert bank.test.y is not None
        count = len(bank.train.x)
        k = self.config.k or (20 if count < FEW_IMAGES * bank.num_classes else 200)
        similarity, neighbours = self._nearest(bank.test.x, bank.train.x, min(k, count))
        accuracy = AccuracyCounter(bank.num_classes)
        for rows in torch.arange(len(bank.test.y)).split(self.config.block):
            votes = self._votes(similarity[rows], bank.train.y[neighbours[rows]], bank.num_classes)
            accuracy.update(votes, bank.test.y[rows])
        return Evaluation(accuracy.metrics())

    def _nearest(self, queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the cosine similarities and the indices of the k keys nearest to each query.

        Both are (Q, k). Keys are read once, block by block, because features stored on disk may
        not fit in memory.
        """
        similarity = torch.full((len(queries), k), -torch.inf)
        indices = torch.zeros(len(queries), k, dtype=torch.int64)
        for start in range(0, len(keys), KEY_BLOCK):
            block = functional.normalize(keys[start : start + KEY_BLOCK].float(), dim=1)
            for rows in torch.arange(len(queries)).split(self.config.block):
                near = functional.normalize(queries[rows].float(), dim=1) @ block.T
                values, at = near.topk(min(k, len(block)), dim=1)
                best = torch.cat([similarity[rows], values], dim=1).topk(k, dim=1)
                similarity[rows] = best.values
                indices[rows] = torch.cat([indices[rows], at + start], 1).gather(1, best.indices)
        return similarity, indices

    def _votes(self, similarity: Tensor, labels: Tensor, num_classes: int) -> Tensor:
        """Return the sum of the neighbours' weights for each class, (Q, C)."""
        # Subtract the maximum: exp(1/0.07) is fine, but a temperature of 0.001 would overflow.
        weights = ((similarity - similarity[:, :1]) / self.config.temperature).exp()
        return torch.zeros(len(labels), num_classes).scatter_add_(1, labels, weights)

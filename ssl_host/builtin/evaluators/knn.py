"""Weighted nearest neighbours."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Settings

FEW = 50
"""Images a class under which 20 neighbours are asked instead of 200."""


class WeightedKNN(Evaluator):
    """Neighbours by cosine, weighted by exp(s/T): Wu et al., arXiv:1805.01978, section 3.4.

    k is 200, or 20 where there are under 50 images a class.
    """

    metrics = {
        "top1": "fraction of the held-out images whose class is found",
        "top5": "fraction whose class is among the first five, where there are more than five",
    }

    class Config(Settings):
        k: int | None = Field(None, ge=1, le=100_000, description="neighbours; default 200 or 20")
        temperature: float = Field(0.07, gt=0, le=100, description="temperature of the weights")
        block: int = Field(1024, ge=1, le=1_000_000, description="queries at a time")

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.test is not None
        assert bank.train.y is not None
        assert bank.test.y is not None
        keys = functional.normalize(bank.train.x.float(), dim=1)
        k = self.config.k or (20 if len(keys) < FEW * bank.num_classes else 200)
        k = min(k, len(keys))
        top = min(5, bank.num_classes)
        hits1 = hits5 = 0
        for x, y in zip(
            bank.test.x.split(self.config.block),
            bank.test.y.split(self.config.block),
            strict=True,
        ):
            votes = self._votes(functional.normalize(x.float(), dim=1), keys, bank, k)
            ranked = votes.topk(top, dim=1).indices
            hits1 += int((ranked[:, 0] == y).sum())
            hits5 += int((ranked == y[:, None]).any(dim=1).sum())
        metrics = {"top1": hits1 / len(bank.test.y)}
        if bank.num_classes > 5:
            metrics["top5"] = hits5 / len(bank.test.y)
        return Evaluation(metrics)

    def _votes(self, queries: Tensor, keys: Tensor, bank: FeatureBank, k: int) -> Tensor:
        assert bank.train.y is not None
        similarity, neighbours = (queries @ keys.T).topk(k, dim=1)
        # Shifted by the largest: exp(1/0.07) is fine, a temperature of 0.001 would overflow.
        weights = ((similarity - similarity[:, :1]) / self.config.temperature).exp()
        votes = torch.zeros(len(queries), bank.num_classes)
        return votes.scatter_add_(1, bank.train.y[neighbours], weights)

"""Evaluator ``retrieval``: are the images nearest to a query of its class?"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure, Settings

RANKS = (1, 5, 10)
"""Numbers of nearest images for which the recall is measured."""


class Retrieval(Evaluator):
    """Mean average precision and recall of a search by cosine similarity.

    Each held-out image is a query among the training images; those of its class are relevant.
    The average precision is the mean of the precision at the rank of each relevant image (Manning
    et al., Introduction to Information Retrieval, section 8.4). ``recall.K`` is the fraction of
    queries with a relevant image among the K nearest, as in arXiv:1511.06452. Queries of a class
    without training images are left out, with a note.
    """

    figures = {
        "map": Figure("mean average precision", unit="%", baseline=True, headline=True),
        "recall.1": Figure(
            "queries whose nearest image is of their class", unit="%", baseline=True
        ),
        "recall.5": Figure("queries with an image of their class among the 5 nearest", unit="%"),
        "recall.10": Figure("queries with an image of their class among the 10 nearest", unit="%"),
    }

    class Config(Settings):
        block: int = Field(
            256, ge=1, le=1_000_000, description="number of queries that are compared at a time"
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.test is not None
        assert bank.train.y is not None
        assert bank.test.y is not None
        images, labels = functional.normalize(bank.train.x, dim=1), bank.train.y
        has_images = torch.isin(bank.test.y, labels)
        queries = functional.normalize(bank.test.x[has_images], dim=1)
        precisions, hits = [], []
        for rows in torch.arange(len(queries)).split(self.config.block):
            order = (queries[rows] @ images.T).argsort(dim=1, descending=True, stable=True)
            relevant = labels[order] == bank.test.y[has_images][rows][:, None]
            precisions.append(average_precision(relevant))
            hits.append(torch.stack([relevant[:, :k].any(dim=1) for k in RANKS], dim=1))
        recalls = torch.cat(hits).double().mean(dim=0)
        metrics = {"map": float(torch.cat(precisions).mean())}
        metrics |= {f"recall.{k}": float(r) for k, r in zip(RANKS, recalls, strict=True)}
        num_missing = int((~has_images).sum())
        note = f"{num_missing} queries have no training image of their class and are left out"
        return Evaluation(metrics, notes=(note,) if num_missing else ())


def average_precision(relevant: Tensor) -> Tensor:
    """Return the average precision (Q,) of rankings (Q, N), each with a relevant image.

    Args:
        relevant: True where the image at a rank is relevant.
    """
    ranks = torch.arange(1, relevant.shape[1] + 1, dtype=torch.float64)
    precision = relevant.cumsum(dim=1) / ranks
    return (precision * relevant).sum(dim=1) / relevant.sum(dim=1)

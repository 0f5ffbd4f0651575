"""Evaluator ``rankme``: the effective rank of the features."""

from __future__ import annotations

import torch
from pydantic import Field

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure, Settings, evenly_spaced_indices


class RankMe(Evaluator):
    """RankMe, the effective rank of features: Garrido et al., arXiv:2210.02885, eq. 1 and 2.

    It is the exponential of the entropy of the normalised singular values. If it is near 1, the
    features have collapsed to a line; the maximum is the feature dimension D. No labels are needed.
    """

    needs_labels = False
    needs_test = False
    has_baselines = False

    figures = {
        "": Figure("effective rank of the features, from 1 to their dimension", headline=True),
    }

    class Config(Settings):
        max_images: int = Field(
            25_600,
            ge=2,
            le=10_000_000,
            description="largest number of training images to use; they are evenly spaced",
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        x = bank.train.x[evenly_spaced_indices(len(bank.train.x), self.config.max_images)]
        values = torch.linalg.svdvals(x.double())
        shares = values / values.sum().clamp(min=1e-300) + 1e-7
        return Evaluation({"": float((-(shares * shares.log()).sum()).exp())})

"""Effective rank of the features."""

from __future__ import annotations

import torch
from pydantic import Field

from ssl_host import Evaluation, Evaluator, FeatureBank, Settings, evenly_spaced_indices


class RankMe(Evaluator):
    """exp of the entropy of the singular values: Garrido et al., arXiv:2210.02885, eq. 1 and 2.

    Needs no labels. Near 1 the features have collapsed to a line; D is the most there is.
    """

    needs_labels = False
    needs_test = False
    has_baselines = False

    metrics = {
        "": "effective rank of the features: 1 if all are alike, at most their number",
    }

    class Config(Settings):
        max_images: int = Field(
            25_600, ge=2, le=10_000_000, description="images that are used, spread over the set"
        )

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        x = bank.train.x
        if len(x) > self.config.max_images:
            x = x[evenly_spaced_indices(len(x), self.config.max_images)]
        values = torch.linalg.svdvals(x.double())
        share = values / values.sum().clamp(min=1e-300) + 1e-7
        return Evaluation({"": float((-(share * share.log()).sum()).exp())})

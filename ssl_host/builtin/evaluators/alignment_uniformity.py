"""Closeness of views and spread of images."""

from __future__ import annotations

import torch
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank


class AlignmentUniformity(Evaluator):
    """Wang & Isola, arXiv:2005.10242, eq. 1 and 2, with α = 2 and t = 2. Needs no labels.

    Alignment: mean squared distance of two views' unit features, smaller is better.
    Uniformity: log of the mean Gaussian potential over all pairs, smaller is better.
    """

    metrics = {
        "alignment": "mean squared distance of two views' unit features; lower is closer",
        "uniformity": "log of the mean Gaussian potential of all pairs; lower is more spread",
    }

    needs_labels = False
    needs_test = False
    has_baselines = False

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.view_pairs is not None
        first, second = (functional.normalize(x.double(), dim=1) for x in bank.view_pairs())
        alignment = (first - second).square().sum(dim=1).mean()
        uniformity = torch.pdist(first).square().mul(-2).exp().mean().log()
        return Evaluation({"alignment": float(alignment), "uniformity": float(uniformity)})

"""Evaluator ``alignment_uniformity``: alignment and uniformity of features."""

from __future__ import annotations

import torch
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure


class AlignmentUniformity(Evaluator):
    """Alignment and uniformity (α = 2, t = 2): Wang & Isola, arXiv:2005.10242, eq. 1 and 2.

    Alignment is the mean squared distance between the features of two views of an image.
    Uniformity is the logarithm of the mean Gaussian potential of all pairs of images. Features are
    scaled to length 1. No labels are needed.
    """

    figures = {
        "alignment": Figure(
            "mean squared distance between the unit features of two views", higher_is_better=False
        ),
        "uniformity": Figure(
            "logarithm of the mean Gaussian potential of all pairs of images",
            higher_is_better=False,
        ),
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

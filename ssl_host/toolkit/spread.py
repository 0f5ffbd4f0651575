"""Measure how much the features of different images differ."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional


def feature_spread(features: Tensor) -> float:
    """Return how much the features (N, D) of different images differ, from 0 to about 1.

    This is the standard deviation of the L2-normalised features, averaged over dimensions, times
    √D. It is 0 if all features are equal, and about 1 if they are uniformly distributed on the
    sphere.
    """
    unit = functional.normalize(features.float(), dim=1)
    return float(unit.std(dim=0).mean() * math.sqrt(unit.shape[1]))

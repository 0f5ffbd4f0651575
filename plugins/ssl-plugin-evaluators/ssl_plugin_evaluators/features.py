"""Features as arrays for scikit-learn."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional


def unit_rows(features: Tensor) -> np.ndarray:
    """Return features (N, D) as an array whose rows have length 1; rows of zeros stay zero."""
    array: np.ndarray = functional.normalize(features.double(), dim=1).numpy()
    return array

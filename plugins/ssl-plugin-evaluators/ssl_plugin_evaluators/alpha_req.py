"""Evaluator ``alpha_req``: how fast do the eigenvalues of the features' covariance decay?"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure, Settings, evenly_spaced_indices


class AlphaReQ(Evaluator):
    """α-ReQ, the exponent of the eigenspectrum of the features: arXiv:2202.08808, section 3.

    The eigenvalues λ_i of the features' covariance are fitted by i^(-α). The range of i and the
    weights 1/i of the least squares are those of the authors' code; the paper names none. A value
    near 1 often goes with good features; a large value means that few directions carry everything.
    No labels are needed.
    """

    needs_labels = False
    needs_test = False
    has_baselines = False

    figures = {
        "": Figure(
            "exponent of the eigenspectrum; near 1 is good", None, headline=True, best_value=1.0
        ),
    }

    class Config(Settings):
        first: int = Field(
            4, ge=1, le=100_000, description="first eigenvalue of the fit, counted from 1"
        )
        last: int = Field(
            100,
            ge=2,
            le=100_000,
            description="last eigenvalue of the fit; at most as many as are above 0",
        )
        max_images: int = Field(
            25_600,
            ge=2,
            le=10_000_000,
            description="largest number of training images to use; they are evenly spaced",
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        x = bank.train.x[evenly_spaced_indices(len(bank.train.x), self.config.max_images)]
        values = torch.linalg.svdvals(x.double() - x.double().mean(dim=0)).square()
        above = values > values[0] * 1e-12
        values = values[: int(above.sum())][: self.config.last]
        first = min(self.config.first, max(1, len(values) - 1))
        if len(values) < 2:
            return Evaluation(
                {}, notes=("alpha_req: the features have no two eigenvalues above 0",)
            )
        return Evaluation({"": power_law_exponent(values, first)})


def power_law_exponent(values: Tensor, first: int = 1) -> float:
    """Return the exponent α of a power law i^(-α), fitted to values in descending order.

    Args:
        values: the values (D,), all above 0; the value at index 0 has i = 1.
        first: first i of the fit.
    """
    index = torch.arange(first, len(values) + 1, dtype=torch.float64)
    design = torch.stack([-index.log(), torch.ones_like(index)], dim=1)
    root = index.rsqrt()[:, None]
    target = values[first - 1 :].double().log()[:, None]
    return float(torch.linalg.lstsq(root * design, root * target).solution[0])

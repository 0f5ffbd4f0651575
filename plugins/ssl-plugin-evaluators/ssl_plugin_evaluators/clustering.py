"""Evaluator ``clustering``: do the clusters of k-means agree with the classes?"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor
from torch.nn import functional

from ssl_host import (
    Evaluation,
    Evaluator,
    FeatureBank,
    Figure,
    Settings,
    evenly_spaced_indices,
)


class Clustering(Evaluator):
    """Agreement of k-means clusters with the classes of the held-out images.

    k-means is fitted to the unit features of the training images without their labels; each
    held-out image belongs to the nearest centre. NMI: Strehl & Ghosh, JMLR 2002, with the
    arithmetic mean of the entropies; ARI: Hubert & Arabie, 1985; the accuracy is that of the best
    one-to-one assignment of clusters to classes, as in arXiv:1511.06335, equation 10.
    """

    figures = {
        "nmi": Figure(
            "normalised mutual information of clusters and classes",
            unit="%",
            baseline=True,
            headline=True,
        ),
        "ari": Figure("Rand index of clusters and classes, adjusted for chance", baseline=True),
        "accuracy": Figure(
            "accuracy of the best assignment of clusters to classes", unit="%", baseline=True
        ),
    }

    class Config(Settings):
        num_clusters: int | None = Field(
            None, ge=2, le=100_000, description="number of clusters; default: number of classes"
        )
        num_starts: int = Field(
            10, ge=1, le=1000, description="number of random starts, of which the best is used"
        )
        max_images: int = Field(
            50_000,
            ge=2,
            le=10_000_000,
            description="largest number of training images for k-means; they are evenly spaced",
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.test is not None
        assert bank.test.y is not None
        train = bank.train.x
        rows = unit_rows(train[evenly_spaced_indices(len(train), self.config.max_images)])
        count = min(self.config.num_clusters or bank.num_classes, len(np.unique(rows, axis=0)))
        kmeans = KMeans(count, n_init=self.config.num_starts, random_state=bank.seed).fit(rows)
        clusters, classes = kmeans.predict(unit_rows(bank.test.x)), bank.test.y.numpy()
        table = contingency_matrix(classes, clusters)
        return Evaluation(
            {
                "nmi": float(normalized_mutual_info_score(classes, clusters)),
                "ari": float(adjusted_rand_score(classes, clusters)),
                "accuracy": float(table[linear_sum_assignment(-table)].sum() / len(classes)),
            }
        )


def unit_rows(features: Tensor) -> np.ndarray:
    """Return features (N, D) as an array whose rows have length 1; rows of zeros stay zero."""
    array: np.ndarray = functional.normalize(features.double(), dim=1).numpy()
    return array

"""Accuracy, balanced accuracy and macro F1 of predictions, shared by several evaluators."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from ssl_host import Figure

ACCURACY = {
    "top1": Figure("top-1 accuracy on the held-out images", unit="%", baseline=True, headline=True),
    "balanced_accuracy": Figure(
        "mean over the classes of the accuracy on their held-out images", unit="%", baseline=True
    ),
    "macro_f1": Figure("mean F1 score of the classes on the held-out images", unit="%"),
}
"""Figures of :func:`score_predictions`."""


def score_predictions(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the accuracies and the macro F1 of predicted classes (N,), keyed by name."""
    with warnings.catch_warnings():
        # A class that is predicted but has no images does not count for the balanced accuracy.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        return {
            "top1": float(accuracy_score(labels, predicted)),
            "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
            "macro_f1": float(f1_score(labels, predicted, average="macro")),
        }

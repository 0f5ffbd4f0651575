"""Accuracies and macro F1 on the held-out images, shared by several evaluators."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_host import Figure

ACCURACY = {
    "top1": Figure("top-1 accuracy on the held-out images", unit="%", baseline=True, headline=True),
    "top5": Figure(
        "top-5 accuracy on the held-out images; only with more than five classes",
        unit="%",
        baseline=True,
    ),
    "balanced_accuracy": Figure(
        "mean over the classes of the accuracy on their held-out images", unit="%", baseline=True
    ),
    "macro_f1": Figure("mean F1 score of the classes on the held-out images", unit="%"),
}
"""Figures for accuracies and macro F1, which several evaluators declare."""


class AccuracyCounter:
    """Accumulates accuracies and the F1 score of each class over batches.

    Args:
        num_classes: number of classes C; top-5 accuracy is measured if there are more than five.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.top5_hits = 0
        # Numbers of images of each class: all, predicted as this class, correctly predicted.
        self.labels, self.predictions, self.hits = torch.zeros(3, num_classes, dtype=torch.int64)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Count the predictions of a batch.

        Args:
            scores: (B, C), the score of each class; the predicted class has the highest score.
            labels: (B,), the true classes.
        """
        ranked = scores.topk(min(5, self.num_classes), dim=1).indices
        predicted = ranked[:, 0]
        self.labels += torch.bincount(labels, minlength=self.num_classes)
        self.predictions += torch.bincount(predicted, minlength=self.num_classes)
        self.hits += torch.bincount(labels[predicted == labels], minlength=self.num_classes)
        self.top5_hits += int((ranked == labels[:, None]).any(dim=1).sum())

    def metrics(self) -> dict[str, float]:
        """Return the metrics over all batches, keyed by name, as fractions from 0 to 1."""
        count = int(self.labels.sum())
        metrics = {"top1": int(self.hits.sum()) / count}
        if self.num_classes > 5:
            metrics["top5"] = self.top5_hits / count
        return metrics | average_over_classes(self.hits, self.labels, self.predictions)


def average_over_classes(hits: Tensor, labels: Tensor, predictions: Tensor) -> dict[str, float]:
    """Return the balanced accuracy and macro F1, which give every class the same weight.

    As in scikit-learn, classes without images are left out of the balanced accuracy, and those that
    are not predicted either are left out of macro F1.

    Args:
        hits: (C,), the number of correctly predicted images of each class.
        labels: (C,), the number of images of each class.
        predictions: (C,), the number of images predicted as each class.
    """
    accuracies = (hits.double() / labels)[labels > 0]
    scores = (2 * hits.double() / (labels + predictions))[labels + predictions > 0]
    return {"balanced_accuracy": float(accuracies.mean()), "macro_f1": float(scores.mean())}

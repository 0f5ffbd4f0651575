"""Top-1 and top-5 accuracy on the held-out images, shared by several evaluators."""

from __future__ import annotations

from torch import Tensor

from ssl_host import Figure

ACCURACY = {
    "top1": Figure("top-1 accuracy on the held-out images", unit="%", baseline=True, headline=True),
    "top5": Figure(
        "top-5 accuracy on the held-out images; only with more than five classes",
        unit="%",
        baseline=True,
    ),
}
"""Figures for top-1 and top-5 accuracy, which several evaluators declare."""


class AccuracyCounter:
    """Accumulates top-1 and top-5 accuracy over batches.

    Args:
        num_classes: number of classes; top-5 accuracy is measured if there are more than five.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.count = self.hits1 = self.hits5 = 0

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Count the correct predictions of a batch.

        Args:
            scores: (B, C), the score of each class; the predicted class has the highest score.
            labels: (B,), the true classes.
        """
        ranked = scores.topk(min(5, self.num_classes), dim=1).indices
        self.count += len(labels)
        self.hits1 += int((ranked[:, 0] == labels).sum())
        self.hits5 += int((ranked == labels[:, None]).any(dim=1).sum())

    def metrics(self) -> dict[str, float]:
        """Return the accuracies over all batches, keyed by name, as fractions from 0 to 1."""
        metrics = {"top1": self.hits1 / self.count}
        if self.num_classes > 5:
            metrics["top5"] = self.hits5 / self.count
        return metrics

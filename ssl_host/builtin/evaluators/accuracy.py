"""Accuracy of classifiers on the held-out images, shared by several evaluators."""

from __future__ import annotations

from torch import Tensor

from ssl_host import Figure

ACCURACY = {
    "top1": Figure("top-1 accuracy on the held-out images", unit="%", baseline=True, headline=True),
    "top5": Figure(
        "top-5 accuracy on the held-out images, with more than five classes",
        unit="%",
        baseline=True,
    ),
}
"""Declarations of the figures of :class:`AccuracyCounter`."""


class AccuracyCounter:
    """Counter of correct predictions, batch by batch.

    Args:
        num_classes: top-5 accuracy is measured only with more than five classes.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.count = self.hits1 = self.hits5 = 0

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            scores: B C, higher is more likely.
            labels: B.
        """
        ranked = scores.topk(min(5, self.num_classes), dim=1).indices
        self.count += len(labels)
        self.hits1 += int((ranked[:, 0] == labels).sum())
        self.hits5 += int((ranked == labels[:, None]).any(dim=1).sum())

    def metrics(self) -> dict[str, float]:
        """Return the accuracies by name, as fractions from 0 to 1."""
        metrics = {"top1": self.hits1 / self.count}
        if self.num_classes > 5:
            metrics["top5"] = self.hits5 / self.count
        return metrics

"""Figures that several evaluators share."""

from __future__ import annotations

from ssl_host import Figure

ACCURACY = {
    "top1": Figure("top-1 accuracy on the held-out images", unit="%", baseline=True, headline=True),
    "top5": Figure(
        "top-5 accuracy on the held-out images, with more than five classes",
        unit="%",
        baseline=True,
    ),
}
"""Accuracies of classifiers on the held-out images."""

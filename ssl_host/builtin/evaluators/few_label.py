"""Evaluator ``few_label``: logistic regression on a few labelled images per class."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure, Settings
from ssl_host.builtin.evaluators.accuracy import AccuracyCounter

DRAW_METRICS = ("top1", "balanced_accuracy", "macro_f1")
"""Metrics that are averaged over the draws of labelled images."""


class FewLabel(Evaluator):
    """Accuracy of logistic regression on few labelled images per class, by default 1, 5 and 10.

    The accuracy is averaged over several random draws of images, which are the same in every run.
    The regression is multinomial and L2-regularised with C = 1, as in scikit-learn. Features are
    standardised with the statistics of all training images; this needs no labels. Four draws are
    fitted at a time.
    """

    figures = {
        "N.top1": Figure(
            "top-1 accuracy with N labelled images per class, averaged over the draws",
            unit="%",
            baseline=True,
            headline=True,
        ),
        "N.top1_std": Figure(
            "standard deviation of N.top1 over the draws",
            higher_is_better=None,
            unit="%",
            baseline=True,
        ),
        "N.balanced_accuracy": Figure(
            "mean over the classes of the accuracy on their held-out images, averaged over the "
            "draws",
            unit="%",
            baseline=True,
        ),
        "N.macro_f1": Figure(
            "mean F1 score of the classes on the held-out images, averaged over the draws",
            unit="%",
        ),
    }

    class Config(Settings):
        labels: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
            (1, 5, 10),
            min_length=1,
            max_length=16,
            description="numbers of labelled images per class; each is evaluated separately",
        )
        draws: int = Field(
            10,
            ge=1,
            le=1000,
            description="number of random draws, over which the accuracy is averaged",
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.train.y is not None
        assert bank.test is not None
        assert bank.test.y is not None
        mean, std = bank.train.x.mean(dim=0), bank.train.x.std(dim=0).clamp(min=1e-6)
        test = (bank.test.x - mean) / std
        smallest = int(torch.bincount(bank.train.y, minlength=bank.num_classes).min())
        metrics: dict[str, float] = {}
        notes = []
        for count in self.config.labels:
            if count > smallest:
                notes.append(
                    f"few_label.{count} was skipped: a class has only {smallest} training images"
                )
                continue
            draws = draw_labelled(bank.train.y, bank.num_classes, count, self.config.draws)
            scores: dict[str, list[float]] = {name: [] for name in DRAW_METRICS}
            for rows in draws.split(4):
                x = (bank.train.x[rows] - mean) / std
                for logits in fit_logistic(x, bank.train.y[rows], bank.num_classes, test):
                    counter = AccuracyCounter(bank.num_classes)
                    counter.update(logits, bank.test.y)
                    for name, value in counter.metrics().items():
                        if name in scores:
                            scores[name].append(value)
            metrics |= {f"{count}.{name}": fmean(values) for name, values in scores.items()}
            if len(draws) > 1:
                metrics[f"{count}.top1_std"] = stdev(scores["top1"])
        return Evaluation(metrics, notes=tuple(notes))


def draw_labelled(labels: Tensor, num_classes: int, count: int, draws: int) -> Tensor:
    """Draw the same number of random images per class, and return their indices.

    The draws are the same in every run.

    Args:
        labels: (N,), int64, the labels of all images.
        num_classes: C, the number of classes.
        count: number of images per class.
        draws: number of random draws.

    Returns:
        The indices of the drawn images, (``draws``, ``count`` · C), int64.
    """
    generator = torch.Generator().manual_seed(count)
    members = [(labels == c).nonzero().squeeze(1) for c in range(num_classes)]
    rows = [
        torch.cat([m[torch.randperm(len(m), generator=generator)[:count]] for m in members])
        for _ in range(draws)
    ]
    return torch.stack(rows)


def fit_logistic(x: Tensor, y: Tensor, num_classes: int, queries: Tensor) -> Tensor:
    """Fit R independent logistic regressions, and return their logits for the query features.

    The solution lies in the span of the samples, so each problem is solved in the n coordinates
    of that span (xxᵀ = VΛVᵀ, coordinates VΛ^½): the cost is n² instead of D², and the
    conditioning is the same as in D dimensions.

    Args:
        x: (R, n, D), the features of the labelled images.
        y: (R, n), the labels of these images.
        num_classes: C, the number of classes.
        queries: (N, D), the features to classify.

    Returns:
        Logits (R, N, C), float64.
    """
    x = x.double()
    values, vectors = torch.linalg.eigh(x @ x.transpose(1, 2))
    root = values.clamp(min=0).sqrt()
    coordinates = vectors * root[:, None]
    dual = torch.zeros(*y.shape, num_classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(x), 1, num_classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [dual, bias],
        max_iter=200,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        solver.zero_grad()
        logits = coordinates @ dual + bias
        data = functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum")
        loss = data + 0.5 * dual.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    with torch.no_grad():
        # Directions without variance carry no information: set their inverse to 0.
        inverse = torch.where(root > 1e-6 * root.amax(), 1 / root, torch.zeros_like(root))
        weight = x.transpose(1, 2) @ (vectors * inverse[:, None] @ dual)
        logits: Tensor = queries.double() @ weight + bias
        return logits

"""Logistic regression on a few labels a class: what pretraining is for."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Settings


class FewLabel(Evaluator):
    """Multinomial logistic regression on 1, 5 and 10 labels a class, mean over fixed draws.

    L2-regularised with C = 1 as scikit-learn's, on features standardised over all training
    images (which takes no labels). All draws are solved together.
    """

    metrics = {
        "N.top1": "top-1 with N labelled images a class, the mean over the draws",
        "N.top1_std": "its standard deviation over the draws",
    }

    class Config(Settings):
        labels: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = Field(
            (1, 5, 10), min_length=1, max_length=16, description="labels a class"
        )
        draws: int = Field(10, ge=1, le=1000, description="draws of labelled images")

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
                notes.append(f"few_label.{count}: a class has only {smallest} training images")
                continue
            chosen = draw(bank.train.y, bank.num_classes, count, self.config.draws)
            scores = []
            for rows in chosen.split(4):
                x = (bank.train.x[rows] - mean) / std
                logits = fit_logistic(x, bank.train.y[rows], bank.num_classes, test)
                scores.append((logits.argmax(dim=2) == bank.test.y).double().mean(dim=1))
            accuracy = torch.cat(scores)
            metrics[f"{count}.top1"] = float(accuracy.mean())
            if len(accuracy) > 1:
                metrics[f"{count}.top1_std"] = float(accuracy.std())
        return Evaluation(metrics, notes=tuple(notes))


def draw(labels: Tensor, num_classes: int, count: int, draws: int) -> Tensor:
    """Indices ``draws`` × (``count`` · C): the same in every run, so that runs compare."""
    generator = torch.Generator().manual_seed(count)
    members = [(labels == c).nonzero().squeeze(1) for c in range(num_classes)]
    rows = [
        torch.cat([m[torch.randperm(len(m), generator=generator)[:count]] for m in members])
        for _ in range(draws)
    ]
    return torch.stack(rows)


def fit_logistic(x: Tensor, y: Tensor, num_classes: int, queries: Tensor) -> Tensor:
    """Solve R independent regressions and apply them.

    The solution lies in the span of the samples, so each problem is turned into the n
    coordinates of that span (xxᵀ = VΛVᵀ, coordinates VΛ^½): it costs n² and not D², and is as
    well conditioned as in D.

    Args:
        x: R n D.
        y: R n.
        queries: N D.

    Returns:
        Logits R N C.
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
        # Directions without extent carry nothing: their inverse is 0.
        inverse = torch.where(root > 1e-6 * root.amax(), 1 / root, torch.zeros_like(root))
        weight = x.transpose(1, 2) @ (vectors * inverse[:, None] @ dual)
        logits: Tensor = queries.double() @ weight + bias
        return logits

"""Evaluator ``robustness``: the accuracy on corrupted images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import ssl_host
from ssl_host import (
    Evaluation,
    Evaluator,
    FeatureBank,
    Features,
    Figure,
    Settings,
    evenly_spaced_indices,
)
from ssl_plugin_evaluators.corruptions import CORRUPTIONS, STANDARD, Corruption, corrupt
from ssl_plugin_evaluators.network import FrozenNetwork, freeze_network

CORRUPTED_AT_ONCE = 64
"""Number of images that are corrupted at a time, in float64."""
SEVERITIES = range(1, 6)
"""Severities of each corruption."""


class Robustness(Evaluator):
    """Accuracy on corrupted held-out images: Hendrycks & Dietterich, arXiv:1903.12261.

    A classifier is fitted to the clean features of the training images. The held-out images are
    corrupted in 14 of the paper's 15 ways, each with five severities; frost, which needs
    photographs, is left out. Severities are those of CIFAR-10-C for images below 96 pixels, and of
    ImageNet-C for others. ``relative`` is the mean accuracy on the corrupted images divided by
    that on the same clean images.
    """

    needs_encoder = True

    figures = {
        "corrupted": Figure(
            "mean accuracy on the corrupted images", unit="%", baseline=True, headline=True
        ),
        "relative": Figure("accuracy on corrupted images divided by that on clean images"),
        "clean": Figure("accuracy on the same images without corruption", unit="%"),
        "severity.N": Figure("mean accuracy of all corruptions with severity N", unit="%"),
        **{
            name: Figure(f"accuracy with {name.replace('_', ' ')}, mean of severities", unit="%")
            for name in CORRUPTIONS
        },
    }

    class Config(Settings):
        classifier: Literal["knn", "logistic"] = Field(
            "knn",
            description="knn: the evaluator knn with its defaults; logistic: logistic regression "
            "with C = 1 on standardised features",
        )
        corruptions: tuple[Corruption, ...] = Field(
            STANDARD, min_length=1, max_length=len(CORRUPTIONS), description="corruptions to apply"
        )
        max_images: int = Field(
            2000,
            ge=1,
            le=10_000_000,
            description="largest number of held-out images to corrupt; they are evenly spaced",
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.test is not None
        assert bank.test.y is not None
        network = freeze_network(bank)
        if network is None or network.test_images is None:
            note = "robustness was skipped, because some images cannot be read"
            return Evaluation({}, notes=(note,))
        rows = evenly_spaced_indices(len(bank.test.y), self.config.max_images)
        labels = bank.test.y[rows]
        accuracy = self._fit(bank)
        clean = accuracy(bank.test.x[rows], labels)
        table = torch.tensor(
            [
                [
                    accuracy(self._features(network, rows, name, severity, bank.seed), labels)
                    for severity in SEVERITIES
                ]
                for name in self.config.corruptions
            ],
            dtype=torch.float64,
        )
        corrupted = float(table.mean())
        metrics = {"corrupted": corrupted, "clean": clean}
        if clean > 0:
            metrics["relative"] = corrupted / clean
        means = zip(SEVERITIES, table.mean(dim=0).tolist(), strict=True)
        metrics |= {f"severity.{severity}": mean for severity, mean in means}
        metrics |= dict(zip(self.config.corruptions, table.mean(dim=1).tolist(), strict=True))
        return Evaluation(metrics, {"robustness": {"accuracy": table}})

    def _fit(self, bank: FeatureBank) -> Callable[[Tensor, Tensor], float]:
        """Fit the classifier; return a function that maps features and labels to its accuracy."""
        assert bank.train.y is not None
        if self.config.classifier == "knn":
            knn: Any = ssl_host.build("evaluator", "knn")
            return lambda x, y: float(
                knn.evaluate(replace(bank, test=Features(x, y))).metrics["top1"]
            )
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        model.fit(bank.train.x.numpy(), bank.train.y.numpy())
        return lambda x, y: float(model.score(x.numpy(), y.numpy()))

    @torch.no_grad()
    def _features(
        self, network: FrozenNetwork, rows: Tensor, name: Corruption, severity: int, seed: int
    ) -> Tensor:
        """Return the features (N, D) of corrupted held-out images."""
        features = []
        for number, part in enumerate(rows.split(CORRUPTED_AT_ONCE)):
            generator = np.random.default_rng([seed, number, severity, *name.encode()])
            pixels = network.test_images[part].permute(0, 2, 3, 1).numpy()
            images = torch.from_numpy(corrupt(pixels, name, severity, generator))
            view = network.eval_transform(images.permute(0, 3, 1, 2).to(network.device))
            features.append(network.encoder(view).float().cpu())
        return torch.cat(features)

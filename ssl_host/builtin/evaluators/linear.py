"""Evaluator ``linear``: a linear classifier on frozen features."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure, Settings
from ssl_host.builtin.evaluators.accuracy import ACCURACY
from ssl_host.builtin.evaluators.label_fraction import select_labelled_fraction
from ssl_host.builtin.evaluators.saved_classifier import read_classifier

SAVED_CLASSIFIER_NOTE = (
    "the linear classifier was loaded from a file, not trained by this run: it may have been "
    "trained on the held-out images, and its accuracy has no baselines"
)

ROW_BLOCK = 4096
"""Number of rows for which logits are computed at a time."""

TakeFeatures = Callable[[Tensor, int], Tensor]
"""Function that maps the indices of training images and an epoch to features (B, D)."""


class _LinearClassifiers(nn.Module):
    """Linear classifiers that are trained on the same batches, one for each learning rate."""

    def __init__(self, count: int, dim: int, classes: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        # LAMB scales steps by the norm of the weights, so start with the norm of a normal layer.
        start = torch.randn(classes, dim, generator=generator) / dim**0.5
        # One tensor per head, so that LAMB computes a separate trust ratio for each.
        self.weights = nn.ParameterList([start.clone() for _ in range(count)])
        self.biases = nn.ParameterList([torch.zeros(classes) for _ in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (R, B, C) of features (B, D)."""
        # All heads have the same input, so one matrix product is enough.
        logits = functional.linear(x, torch.cat(list(self.weights)), torch.cat(list(self.biases)))
        return logits.view(len(x), len(self.weights), -1).transpose(0, 1)


class LinearProbe(Evaluator):
    """Test accuracy of a linear classifier on frozen features.

    It is trained with LAMB and a cosine schedule, by default for 90 epochs. With ``mode = cached``
    the features are computed once, without augmentation; with ``mode = augmented`` they are
    computed in every epoch from random crops and flips, as is usual in papers. Features are
    standardised with the statistics of the training images, which are folded into the saved
    weights. The learning rate is selected on a tenth of the training images; the classifier is
    then trained on all of them, and ``Trainer.test`` reads the test split once.
    """

    figures = {
        **ACCURACY,
        "learning_rate": Figure(
            "learning rate selected on a fraction of the training images",
            higher_is_better=None,
        ),
    }

    class Config(Settings):
        mode: Literal["cached", "augmented"] = Field(
            "cached",
            description="cached: compute the features once, without augmentation; augmented: "
            "compute them in every epoch from random crops and flips",
        )
        epochs: int = Field(
            90, ge=1, le=10_000, description="number of passes over the labelled images"
        )
        batch_size: int = Field(256, ge=1, le=1_000_000, description="number of images per step")
        optimizer: Literal["lamb", "sgd"] = Field(
            "lamb", description="optimizer; sgd has momentum 0.9"
        )
        learning_rates: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = Field(
            (0.003, 0.01, 0.03, 0.1),
            min_length=1,
            max_length=64,
            description="learning rates to try; the one with the best validation accuracy is used",
        )
        weight_decay: float = Field(
            0.0, ge=0, le=10, description="weight decay of the weight matrix"
        )
        label_fraction: float = Field(
            1.0, gt=0, le=1, description="fraction of the labelled training images to use"
        )
        validation_fraction: float = Field(
            0.1,
            gt=0,
            lt=1,
            description="fraction of the labelled images on which the learning rate is selected",
        )
        weights: Path | None = Field(
            None,
            description="saved classifier to test instead of training one: a run folder, "
            "linear.safetensors, or a checkpoint of a linear evaluation",
        )

    config: Config

    def setup(self) -> None:
        # A saved classifier fits one network only, so there are no baselines.
        self.has_baselines = self.config.weights is None

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        from ssl_host.builtin.evaluators.classifier_test import (  # noqa: PLC0415 - imports Lightning
            measure_accuracy,
        )

        assert bank.train.y is not None
        if self.config.weights is not None:
            weight, bias = read_classifier(
                self.config.weights, bank.train.x.shape[1], bank.num_classes
            )
            return Evaluation(measure_accuracy(weight, bias, bank), notes=(SAVED_CLASSIFIER_NOTE,))
        mean, std = bank.train.x.mean(dim=0), bank.train.x.std(dim=0).clamp(min=1e-6)
        features = self._features(bank, mean, std)
        rates = self.config.learning_rates
        rows = select_labelled_fraction(bank.train.y, self.config.label_fraction)
        rate = rates[0]
        if len(rates) > 1:
            rate = rates[self._select_rate(features, rows, lambda x: (x - mean) / std, bank)]
        heads = self._train(features, rows, (rate,), bank)
        weight, bias = heads.weights[0].detach(), heads.biases[0].detach()
        weight = weight / std
        bias = bias - weight @ mean
        metrics = {**measure_accuracy(weight, bias, bank), "learning_rate": rate}
        return Evaluation(metrics, {"linear": {"weight": weight, "bias": bias}})

    def _features(self, bank: FeatureBank, mean: Tensor, std: Tensor) -> TakeFeatures:
        """Return a function that maps image indices and an epoch to standardised features."""
        if self.config.mode == "augmented" and bank.encoder is not None:
            images, augment = bank.train_images, bank.train_transform
            if images is not None and augment is not None:
                encoder = bank.encoder().eval()
                device = next(encoder.parameters()).device

                def take(rows: Tensor, epoch: int) -> Tensor:
                    with torch.no_grad():
                        views = augment(images[rows].to(device), rows.to(device), epoch)
                        x: Tensor = encoder(views).float().cpu()
                    return (x - mean) / std

                return take
        x = bank.train.x  # may be on disk, so standardise only the rows read
        return lambda rows, epoch: (x[rows] - mean) / std

    def _select_rate(
        self,
        features: TakeFeatures,
        rows: Tensor,
        standardise: Callable[[Tensor], Tensor],
        bank: FeatureBank,
    ) -> int:
        """Return the index of the learning rate with the best accuracy on validation images.

        The validation images are a fraction of the training images; the test split is not read.
        """
        assert bank.train.y is not None
        generator = torch.Generator().manual_seed(bank.seed)
        order = rows[torch.randperm(len(rows), generator=generator)]
        count = max(1, round(len(rows) * self.config.validation_fraction))
        validation, train = order[:count], order[count:]
        heads = self._train(features, train, self.config.learning_rates, bank)
        hits = torch.zeros(len(self.config.learning_rates), dtype=torch.int64)
        with torch.no_grad():
            # Use blocks: the logits of a tenth of ImageNet for 64 rates would take 30 GB.
            for block in validation.split(ROW_BLOCK):
                predicted = heads(standardise(bank.train.x[block])).argmax(dim=2)
                hits += (predicted == bank.train.y[block]).sum(dim=1)
        return int(hits.argmax())

    def _train(
        self, features: TakeFeatures, rows: Tensor, rates: tuple[float, ...], bank: FeatureBank
    ) -> _LinearClassifiers:
        """Train one classifier per learning rate on the same batches; return the classifiers."""
        assert bank.train.y is not None
        config = self.config
        heads = _LinearClassifiers(len(rates), bank.train.x.shape[1], bank.num_classes, bank.seed)
        optimizer = self._optimizer(heads, rates)
        generator = torch.Generator().manual_seed(bank.seed)
        steps = -(-len(rows) // config.batch_size)
        total, step = steps * config.epochs, 0
        for epoch in range(config.epochs):
            order = rows[torch.randperm(len(rows), generator=generator)]
            for index in order.split(config.batch_size):
                factor = (1 + math.cos(math.pi * step / total)) / 2
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * factor
                logits = heads(features(index, epoch))
                target = bank.train.y[index].expand(len(rates), -1)
                loss = functional.cross_entropy(logits.flatten(0, 1), target.flatten())
                optimizer.zero_grad()
                # Sum over heads, so that each head gets the gradient of its own mean loss.
                (loss * len(rates)).backward()
                optimizer.step()
                step += 1
        return heads

    def _optimizer(
        self, heads: _LinearClassifiers, rates: tuple[float, ...]
    ) -> torch.optim.Optimizer:
        """Return one optimizer for all classifiers, each with its own learning rate."""
        decay = self.config.weight_decay
        groups = [
            {"params": [param], "lr": rate, "peak": rate, "weight_decay": wd, "always_adapt": adapt}
            for i, rate in enumerate(rates)
            for param, wd, adapt in ((heads.weights[i], decay, True), (heads.biases[i], 0.0, False))
        ]
        if self.config.optimizer == "sgd":
            for group in groups:
                del group["always_adapt"]
            return torch.optim.SGD(groups, lr=1.0, momentum=0.9)
        # timm's LAMB has no trust ratio without weight decay unless always_adapt is set, and
        # max_grad_norm would clip all heads by their common norm.
        from timm.optim.lamb import Lamb  # noqa: PLC0415 - not needed to check settings

        return Lamb(groups, max_grad_norm=None)

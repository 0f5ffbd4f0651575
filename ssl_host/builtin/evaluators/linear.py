"""A linear classifier on frozen features."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Settings
from ssl_host.builtin.evaluators.saved import saved_classifier
from ssl_host.builtin.evaluators.subsets import labelled_fraction

GIVEN = (
    "the linear classifier was given, not trained here: whether it has seen the held-out images "
    "is not known, and no baseline stands beside its figure"
)

BLOCK = 4096
"""Rows whose logits are compared at a time."""

TakeFeatures = Callable[[Tensor, int], Tensor]
"""Numbers of training images and an epoch to features B D."""


class _Heads(nn.Module):
    """One linear classifier a learning rate, trained side by side on the same batches."""

    def __init__(self, count: int, dim: int, classes: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        # LAMB's steps are relative to the weights' norm: it has to be that of a usual layer.
        start = torch.randn(classes, dim, generator=generator) / dim**0.5
        # A tensor a head: LAMB's trust ratio is then each head's own.
        self.weights = nn.ParameterList([start.clone() for _ in range(count)])
        self.biases = nn.ParameterList([torch.zeros(classes) for _ in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        """Features B D to logits R B C."""
        # One product for all heads: they read the same features.
        logits = functional.linear(x, torch.cat(list(self.weights)), torch.cat(list(self.biases)))
        return logits.view(len(x), len(self.weights), -1).transpose(0, 1)


class LinearProbe(Evaluator):
    """Frozen features, LAMB and a cosine for 90 epochs, the figure from ``Trainer.test``.

    ``mode = cached`` takes the features once, without augmentation; ``augmented`` takes them
    anew in every epoch, of random crops and flips, as the papers' protocol does. Features are
    standardised by the training images' statistics, which are folded into the saved weights.
    The learning rate is chosen on a tenth of the training images; the chosen one is then trained
    on all of them, and the test split is read once.
    """

    metrics = {
        "top1": "fraction of the held-out images whose class is found",
        "top5": "fraction whose class is among the first five, where there are more than five",
        "learning_rate": "the rate that was chosen, on a part of the training images",
    }

    class Config(Settings):
        mode: Literal["cached", "augmented"] = Field(
            "cached", description="features taken once, or of random crops in every epoch"
        )
        epochs: int = Field(90, ge=1, le=10_000, description="passes over the images")
        batch_size: int = Field(256, ge=1, le=1_000_000, description="images a step")
        optimizer: Literal["lamb", "sgd"] = Field("lamb", description="sgd has momentum 0.9")
        learning_rates: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = Field(
            (0.003, 0.01, 0.03, 0.1), min_length=1, max_length=64, description="rates to try"
        )
        weight_decay: float = Field(0.0, ge=0, le=10, description="weight decay")
        label_fraction: float = Field(
            1.0, gt=0, le=1, description="part of the labels that is used"
        )
        validation_fraction: float = Field(
            0.1, gt=0, lt=1, description="part of the training images that the rate is chosen on"
        )
        weights: Path | None = Field(
            None,
            description="classifier to test as it is, instead of training one: a run folder, "
            "linear.safetensors, or a checkpoint of a linear evaluation",
        )

    def setup(self) -> None:
        # A given classifier fits one network: there is nothing to set beside it.
        self.has_baselines = self.config.weights is None

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        from ssl_host.builtin.evaluators.tested import tested  # noqa: PLC0415 - brings Lightning

        assert bank.train.y is not None
        if self.config.weights is not None:
            weight, bias = saved_classifier(
                self.config.weights, bank.train.x.shape[1], bank.num_classes
            )
            return Evaluation(tested(weight, bias, bank), notes=(GIVEN,))
        mean, std = bank.train.x.mean(dim=0), bank.train.x.std(dim=0).clamp(min=1e-6)
        features = self._features(bank, mean, std)
        rates = self.config.learning_rates
        rows = labelled_fraction(bank.train.y, self.config.label_fraction)
        rate = rates[0]
        if len(rates) > 1:
            rate = rates[self._choose(features, rows, lambda x: (x - mean) / std, bank)]
        heads = self._train(features, rows, (rate,), bank)
        weight, bias = heads.weights[0].detach(), heads.biases[0].detach()
        weight = weight / std
        bias = bias - weight @ mean
        metrics = {**tested(weight, bias, bank), "learning_rate": rate}
        return Evaluation(metrics, {"linear": {"weight": weight, "bias": bias}})

    def _features(self, bank: FeatureBank, mean: Tensor, std: Tensor) -> TakeFeatures:
        """Standardised features of training images by number, in an epoch."""
        if self.config.mode == "augmented" and bank.encoder is not None:
            images, augment = bank.train_images, bank.train_transform
            if images is not None and augment is not None:
                encoder = bank.encoder().eval()
                device = next(encoder.parameters()).device

                def take(rows: Tensor, epoch: int) -> Tensor:
                    with torch.no_grad():
                        views = augment(images[rows].to(device), rows.to(device), epoch)
                        found: Tensor = encoder(views).float().cpu()
                    return (found - mean) / std

                return take
        x = bank.train.x  # maybe on the disk: standardised as it is read
        return lambda rows, epoch: (x[rows] - mean) / std

    def _choose(
        self,
        features: TakeFeatures,
        rows: Tensor,
        standardise: Callable[[Tensor], Tensor],
        bank: FeatureBank,
    ) -> int:
        """Which rate does best on a part of the labelled images, trained on the others."""
        assert bank.train.y is not None
        generator = torch.Generator().manual_seed(bank.seed)
        order = rows[torch.randperm(len(rows), generator=generator)]
        count = max(1, round(len(rows) * self.config.validation_fraction))
        held, kept = order[:count], order[count:]
        heads = self._train(features, kept, self.config.learning_rates, bank)
        right = torch.zeros(len(self.config.learning_rates), dtype=torch.int64)
        with torch.no_grad():
            # In parts: a tenth of ImageNet's features times 64 rates would take 30 GB.
            for part in held.split(BLOCK):
                found = heads(standardise(bank.train.x[part])).argmax(dim=2)
                right += (found == bank.train.y[part]).sum(dim=1)
        return int(right.argmax())

    def _train(
        self, features: TakeFeatures, rows: Tensor, rates: tuple[float, ...], bank: FeatureBank
    ) -> _Heads:
        """Heads of all rates, trained together on the same batches of the given images."""
        assert bank.train.y is not None
        config = self.config
        heads = _Heads(len(rates), bank.train.x.shape[1], bank.num_classes, bank.seed)
        optimizer = self._optimizer(heads, rates)
        generator = torch.Generator().manual_seed(bank.seed)
        steps = -(-len(rows) // config.batch_size)
        total, step = steps * config.epochs, 0
        for epoch in range(config.epochs):
            order = rows[torch.randperm(len(rows), generator=generator)]
            for part in order.split(config.batch_size):
                factor = (1 + math.cos(math.pi * step / total)) / 2
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * factor
                logits = heads(features(part, epoch))
                target = bank.train.y[part].expand(len(rates), -1)
                loss = functional.cross_entropy(logits.flatten(0, 1), target.flatten())
                optimizer.zero_grad()
                # The sum over heads: each head's gradient is that of its own mean loss.
                (loss * len(rates)).backward()
                optimizer.step()
                step += 1
        return heads

    def _optimizer(self, heads: _Heads, rates: tuple[float, ...]) -> torch.optim.Optimizer:
        decay = self.config.weight_decay
        groups = [
            {"params": [part], "lr": rate, "peak": rate, "weight_decay": wd, "always_adapt": adapt}
            for i, rate in enumerate(rates)
            for part, wd, adapt in ((heads.weights[i], decay, True), (heads.biases[i], 0.0, False))
        ]
        if self.config.optimizer == "sgd":
            for group in groups:
                del group["always_adapt"]
            return torch.optim.SGD(groups, lr=1.0, momentum=0.9)
        # timm leaves the trust ratio, which LAMB is named for, off where nothing decays; and
        # max_grad_norm would clip all heads by their common norm.
        from timm.optim.lamb import Lamb  # noqa: PLC0415 - a check of settings does not wait

        return Lamb(groups, max_grad_norm=None)

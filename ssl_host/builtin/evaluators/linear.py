"""A linear classifier on frozen features."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pydantic import Field
from timm.optim.lamb import Lamb
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from ssl_host import Evaluation, Evaluator, FeatureBank, Settings


class _Heads(nn.Module):
    """One linear classifier a learning rate, trained side by side on the same batches."""

    def __init__(self, count: int, dim: int, classes: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(classes, dim, generator=generator) * 0.01
        # A tensor a head: LAMB's trust ratio is then each head's own.
        self.weights = nn.ParameterList([start.clone() for _ in range(count)])
        self.biases = nn.ParameterList([torch.zeros(classes) for _ in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        """Features B D to logits R B C."""
        # One product for all heads: they read the same features.
        logits = functional.linear(x, torch.cat(list(self.weights)), torch.cat(list(self.biases)))
        return logits.view(len(x), len(self.weights), -1).transpose(0, 1)


class _Tester(pl.LightningModule):
    """Reads the test split once, through ``Trainer.test``."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        classes = len(bias)
        self.top1 = MulticlassAccuracy(classes, average="micro")
        self.top5 = MulticlassAccuracy(classes, average="micro", top_k=min(5, classes))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        logits = x @ self.weight.T + self.bias
        self.top1.update(logits, y)
        self.top5.update(logits, y)


class LinearProbe(Evaluator):
    """Frozen features, LAMB and a cosine for 90 epochs, the figure from ``Trainer.test``.

    Features are taken once and standardised by the training images' statistics, which are
    folded into the saved weights. The learning rate is chosen on a tenth of the training
    images; the chosen one is then trained on all of them, and the test split is read once.
    """

    class Config(Settings):
        epochs: int = Field(90, ge=1, le=10_000, description="passes over the features")
        batch_size: int = Field(256, ge=1, le=1_000_000, description="features a step")
        learning_rates: tuple[float, ...] = Field(
            (0.001, 0.003, 0.01, 0.03), min_length=1, max_length=64, description="rates to try"
        )
        weight_decay: float = Field(0.0, ge=0, le=10, description="weight decay")
        validation_fraction: float = Field(
            0.1, gt=0, lt=1, description="part of the training images that the rate is chosen on"
        )

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.train.y is not None
        assert bank.test is not None
        assert bank.test.y is not None
        mean, std = bank.train.x.mean(dim=0), bank.train.x.std(dim=0).clamp(min=1e-6)
        x, y = (bank.train.x - mean) / std, bank.train.y
        rates = self.config.learning_rates
        rate = rates[0]
        if len(rates) > 1:
            rate = rates[self._choose(x, y, bank)]
        heads = self._train(x, y, (rate,), bank)
        weight, bias = heads.weights[0].detach(), heads.biases[0].detach()
        weight = weight / std
        bias = bias - weight @ mean
        tester = _Tester(weight, bias)
        _run_test(tester, DataLoader(TensorDataset(bank.test.x, bank.test.y), 4096))
        metrics = {"top1": float(tester.top1.compute())}
        if bank.num_classes > 5:
            metrics["top5"] = float(tester.top5.compute())
        metrics["learning_rate"] = rate
        return Evaluation(metrics, {"linear": {"weight": weight, "bias": bias}})

    def _choose(self, x: Tensor, y: Tensor, bank: FeatureBank) -> int:
        generator = torch.Generator().manual_seed(bank.seed)
        order = torch.randperm(len(y), generator=generator)
        count = max(1, round(len(y) * self.config.validation_fraction))
        held, kept = order[:count], order[count:]
        heads = self._train(x[kept], y[kept], self.config.learning_rates, bank)
        with torch.no_grad():
            right = (heads(x[held]).argmax(dim=2) == y[held]).sum(dim=1)
        return int(right.argmax())

    def _train(self, x: Tensor, y: Tensor, rates: tuple[float, ...], bank: FeatureBank) -> _Heads:
        config = self.config
        heads = _Heads(len(rates), x.shape[1], bank.num_classes, bank.seed)
        groups = [
            {"params": [heads.weights[i], heads.biases[i]], "lr": rate, "peak": rate}
            for i, rate in enumerate(rates)
        ]
        # max_grad_norm would clip all heads by their common norm
        optimizer = Lamb(groups, weight_decay=config.weight_decay, max_grad_norm=None)
        generator = torch.Generator().manual_seed(bank.seed)
        steps = -(-len(x) // config.batch_size)
        total, step = steps * config.epochs, 0
        for _ in range(config.epochs):
            order = torch.randperm(len(x), generator=generator)
            for part in order.split(config.batch_size):
                factor = (1 + torch.cos(torch.tensor(torch.pi * step / total)).item()) / 2
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * factor
                logits = heads(x[part])
                target = y[part].expand(len(rates), -1)
                # The sum over heads: each head's gradient is that of its own mean loss.
                loss = functional.cross_entropy(logits.flatten(0, 1), target.flatten())
                optimizer.zero_grad()
                (loss * len(rates)).backward()
                optimizer.step()
                step += 1
        return heads


def _run_test(tester: _Tester, loader: DataLoader[Any]) -> None:
    logger = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = pl.Trainer(
                accelerator="cpu",
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.test(tester, loader, verbose=False)
    finally:
        logger.setLevel(level)

"""Accuracies of a linear classifier on the held-out images, measured with ``Trainer.test``."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassStatScores

from ssl_host import FeatureBank
from ssl_host.builtin.evaluators.accuracy import average_over_classes


class _ClassifierModule(pl.LightningModule):
    """Lightning module that measures the accuracy of a linear classifier in ``Trainer.test``."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        classes = len(bias)
        self.top1 = MulticlassAccuracy(classes, average="micro")
        self.top5 = MulticlassAccuracy(classes, average="micro", top_k=min(5, classes))
        self.counts = MulticlassStatScores(classes, average=None)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        logits = x @ self.weight.T + self.bias
        self.top1.update(logits, y)
        self.top5.update(logits, y)
        self.counts.update(logits, y)


def measure_accuracy(weight: Tensor, bias: Tensor, bank: FeatureBank) -> dict[str, float]:
    """Return a linear classifier's accuracies and macro F1 on the held-out images, from 0 to 1.

    Args:
        weight: (C, D), the weight matrix of the classifier.
        bias: (C,), the biases of the classifier.
        bank: the features and labels of the held-out images.
    """
    assert bank.test is not None
    assert bank.test.y is not None
    module = _ClassifierModule(weight, bias)
    _run_test(module, DataLoader(TensorDataset(bank.test.x, bank.test.y), 4096))
    metrics = {"top1": float(module.top1.compute())}
    if bank.num_classes > 5:
        metrics["top5"] = float(module.top5.compute())
    hits, false_hits, _, _, labels = module.counts.compute().T
    return metrics | average_over_classes(hits, labels, hits + false_hits)


def _run_test(module: _ClassifierModule, loader: DataLoader[Any]) -> None:
    """Run ``Trainer.test`` on a CPU without printing its messages."""
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
            trainer.test(module, loader, verbose=False)
    finally:
        logger.setLevel(level)

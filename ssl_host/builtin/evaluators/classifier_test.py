"""Test accuracy of a linear classifier, measured with ``Trainer.test``."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from ssl_host import FeatureBank


class _ClassifierModule(pl.LightningModule):
    """Lightning module that measures the accuracy of a linear classifier in ``Trainer.test``."""

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


def measure_accuracy(weight: Tensor, bias: Tensor, bank: FeatureBank) -> dict[str, float]:
    """Return the accuracies of a linear classifier on the held-out images, from 0 to 1.

    They are top-1 accuracy and, if there are more than five classes, top-5 accuracy.

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
    return metrics


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

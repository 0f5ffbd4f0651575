"""Evaluator ``finetune``: fine-tuning of the whole network with labels."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Settings
from ssl_host.builtin.evaluators.accuracy import ACCURACY, AccuracyCounter
from ssl_host.builtin.evaluators.label_fraction import select_labelled_fraction


class FineTune(Evaluator):
    """Test accuracy after fine-tuning the backbone, as in the papers of SimCLR and BYOL.

    The backbone and a linear layer are trained with labels on random crops and flips, by SGD with
    Nesterov momentum and a cosine schedule (arXiv:2002.05709, appendix B.8; arXiv:2006.07733,
    appendix D.2). ``label_fraction = 0.01`` or ``0.1`` gives the papers' semi-supervised protocol.
    There is no search for the learning rate, so the test split is read only once, at the end.
    """

    needs_encoder = True

    figures = ACCURACY

    class Config(Settings):
        epochs: int = Field(
            30, ge=1, le=10_000, description="number of passes over the labelled images"
        )
        batch_size: int = Field(64, ge=2, le=1_000_000, description="number of images per step")
        lr: float = Field(0.01, gt=0, le=100, description="learning rate of the backbone")
        head_lr: float = Field(0.1, gt=0, le=100, description="learning rate of the linear layer")
        weight_decay: float = Field(0.0, ge=0, le=10, description="weight decay of all parameters")
        label_fraction: float = Field(
            1.0, gt=0, le=1, description="fraction of the labelled training images to use"
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.train.y is not None
        assert bank.test is not None
        assert bank.test.y is not None
        images, encoder = bank.train_images, bank.encoder
        if (
            images is None
            or encoder is None
            or bank.train_transform is None
            or bank.eval_transform is None
        ):
            note = "finetune was skipped, because some images cannot be read"
            return Evaluation({}, notes=(note,))
        backbone = encoder().requires_grad_(True)  # an EMA encoder is frozen
        device = next(backbone.parameters()).device
        head = nn.Linear(bank.train.x.shape[1], bank.num_classes).to(device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self._train(backbone, head, bank, device)
        accuracy = AccuracyCounter(bank.num_classes)
        backbone.eval()
        with torch.no_grad():
            for rows in torch.arange(len(bank.test.y)).split(256):
                logits = head(
                    backbone(bank.eval_transform(bank.test_images[rows].to(device)))
                ).cpu()
                accuracy.update(logits, bank.test.y[rows])
        return Evaluation(accuracy.metrics())

    def _train(
        self, backbone: nn.Module, head: nn.Linear, bank: FeatureBank, device: torch.device
    ) -> None:
        """Train the backbone and the linear layer on the labelled training images."""
        assert bank.train.y is not None
        assert bank.train_transform is not None
        config = self.config
        groups = [
            {"params": list(backbone.parameters()), "peak": config.lr},
            {"params": list(head.parameters()), "peak": config.head_lr},
        ]
        optimizer = torch.optim.SGD(
            groups, lr=1.0, momentum=0.9, nesterov=True, weight_decay=config.weight_decay
        )
        rows = select_labelled_fraction(bank.train.y, config.label_fraction)
        generator = torch.Generator().manual_seed(bank.seed)
        batches = [b for b in rows.split(config.batch_size) if len(b) > 1] or [rows]
        total, step = len(batches) * config.epochs, 0
        backbone.train()
        for epoch in range(config.epochs):
            order = rows[torch.randperm(len(rows), generator=generator)]
            for index in order.split(config.batch_size):
                if len(index) < 2 <= len(rows):
                    continue  # batch norm needs more than one image
                factor = (1 + math.cos(math.pi * step / total)) / 2
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * factor
                views = self._views(bank, index, epoch, device)
                loss = functional.cross_entropy(
                    head(backbone(views)), bank.train.y[index].to(device)
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1

    def _views(self, bank: FeatureBank, index: Tensor, epoch: int, device: torch.device) -> Tensor:
        """Return random crops of training images on a device, as input for the backbone."""
        assert bank.train_transform is not None
        return bank.train_transform(bank.train_images[index].to(device), index.to(device), epoch)

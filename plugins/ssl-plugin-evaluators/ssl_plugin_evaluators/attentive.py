"""Evaluator ``attentive``: a classifier with attention pooling on the frozen tokens."""

from __future__ import annotations

import copy
from typing import Annotated

import torch
from pydantic import Field
from timm.layers.attention_pool import AttentionPoolLatent
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure, Settings, UserError
from ssl_plugin_evaluators.accuracy import ACCURACY, score_predictions
from ssl_plugin_evaluators.network import (
    BATCH_SIZE,
    FrozenNetwork,
    NetworkOutputs,
    freeze_network,
    missing_tokens,
)
from ssl_plugin_evaluators.training import split_validation, train


class Attentive(Evaluator):
    """Accuracy of an attentive probe: arXiv:2202.03026, arXiv:2404.08471.

    A learned query attends to the tokens of the frozen backbone (class token, registers and
    patches; the positions of a convolutional network's last feature map), and a linear layer
    classifies the result. The attention pool is timm's AttentionPoolLatent, after a layer norm. It
    is trained with AdamW and a cosine schedule, without augmentation. The learning rate is selected
    on a part of the training images; the classifier is then trained on all of them. A backbone
    without tokens is skipped, with a note.
    """

    needs_encoder = True

    figures = {
        **ACCURACY,
        "learning_rate": Figure("learning rate selected on training images", None),
    }

    class Config(Settings):
        epochs: int = Field(20, ge=1, le=10_000, description="number of passes over the images")
        batch_size: int = Field(128, ge=1, le=1_000_000, description="number of images per step")
        learning_rates: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
            (0.0003, 0.001, 0.003),
            min_length=1,
            max_length=64,
            description="learning rates to try; the one with the best validation accuracy is used",
        )
        weight_decay: float = Field(0.01, ge=0, le=10, description="weight decay of AdamW")
        num_heads: int | None = Field(
            None,
            ge=1,
            le=1024,
            description="number of attention heads; default: one for 64 dimensions of a token",
        )
        validation_fraction: float = Field(
            0.1,
            gt=0,
            lt=1,
            description="fraction of the training images on which the learning rate is selected",
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.test is not None
        assert bank.train.y is not None
        assert bank.test.y is not None
        network = freeze_network(bank)
        reason = "some images cannot be read" if network is None else missing_tokens(network)
        if network is None or reason:
            return Evaluation({}, notes=(f"attentive was skipped, because {reason}",))
        images = network.train_images
        tokens = NetworkOutputs(images, lambda batch: read_tokens(network, batch))
        rates = self.config.learning_rates
        rate = rates[0]
        if len(rates) > 1:
            rows, validation = split_validation(
                len(tokens), self.config.validation_fraction, bank.seed
            )
            models = self._train(tokens, bank, rows, rates, network.device)
            hits = [
                int((predict(model, tokens, validation) == bank.train.y[validation]).sum())
                for model in models
            ]
            rate = rates[hits.index(max(hits))]
        (model,) = self._train(tokens, bank, torch.arange(len(tokens)), (rate,), network.device)
        tested = NetworkOutputs(network.test_images, lambda batch: read_tokens(network, batch))
        predicted = predict(model, tested, torch.arange(len(tested)))
        metrics = score_predictions(predicted.numpy(), bank.test.y.numpy())
        return Evaluation({**metrics, "learning_rate": rate})

    def _train(
        self,
        tokens: NetworkOutputs,
        bank: FeatureBank,
        rows: Tensor,
        rates: tuple[float, ...],
        device: torch.device,
    ) -> list[AttentiveClassifier]:
        """Train one classifier per learning rate on the same batches; return the classifiers."""
        labels, config = bank.train.y, self.config
        assert labels is not None
        dim = tokens[rows[:1]].shape[-1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(bank.seed)
            start = AttentiveClassifier(dim, bank.num_classes, config.num_heads).to(device)
        models = [copy.deepcopy(start) for _ in rates]
        groups = [
            {"params": list(model.parameters()), "lr": rate}
            for model, rate in zip(models, rates, strict=True)
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)

        def loss_of(index: Tensor) -> Tensor:
            x, y = tokens[index].to(device), labels[index].to(device)
            # The sum gives each classifier the gradient of its own loss.
            return torch.stack([functional.cross_entropy(model(x), y) for model in models]).sum()

        train(optimizer, loss_of, rows, config.epochs, config.batch_size, bank.seed)
        return [model.eval() for model in models]


class AttentiveClassifier(nn.Module):
    """Layer norm, timm's attention pool with one learned query, and a linear layer.

    Args:
        dim: width D of the tokens.
        num_classes: number of classes C.
        num_heads: number of attention heads; None for one for 64 dimensions.

    Raises:
        UserError: if ``num_heads`` does not divide D.
    """

    def __init__(self, dim: int, num_classes: int, num_heads: int | None = None) -> None:
        super().__init__()
        if num_heads is not None and dim % num_heads:
            raise UserError(
                f"[evaluator.attentive] num_heads = {num_heads}: must divide {dim}, the width of "
                "the backbone's tokens"
            )
        heads = num_heads or max(h for h in range(1, max(1, dim // 64) + 1) if dim % h == 0)
        self.norm = nn.LayerNorm(dim)
        self.pool = AttentionPoolLatent(dim, num_heads=heads, norm_layer=nn.LayerNorm)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (B, C) of tokens (B, T, D)."""
        logits: Tensor = self.head(self.pool(self.norm(tokens)))
        return logits


@torch.no_grad()
def read_tokens(network: FrozenNetwork, images: Tensor) -> Tensor:
    """Return all tokens of uint8 images, prefix tokens first: (B, P + T, D), float32."""
    tokens = network.encoder.tokens(network.eval_transform(images.to(network.device)))
    return torch.cat([tokens.prefix, tokens.patches], dim=1).float().cpu()


@torch.no_grad()
def predict(model: AttentiveClassifier, tokens: NetworkOutputs, rows: Tensor) -> Tensor:
    """Return the predicted classes (N,) of the images with the given indices."""
    device = model.head.weight.device
    return torch.cat(
        [model(tokens[part].to(device)).argmax(dim=1).cpu() for part in rows.split(BATCH_SIZE)]
    )

"""Evaluator ``linear_grid``: linear classifiers on a grid of poolings, last blocks and rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure, Settings
from ssl_plugin_evaluators.accuracy import ACCURACY, score_predictions
from ssl_plugin_evaluators.block_outputs import (
    BlockOutputs,
    Pooling,
    find_block_outputs,
    pool_blocks,
)
from ssl_plugin_evaluators.network import BATCH_SIZE, NetworkOutputs, freeze_network
from ssl_plugin_evaluators.training import split_validation, train

Entry = tuple[Pooling, int]
"""Pooling and number of last blocks of a part of the grid."""
TEXTS = {
    "token": "the class token",
    "mean": "the mean of the patches",
    "both": "the class token with the mean of the last block's patches",
}
"""Descriptions of the poolings, for notes."""


class LinearGrid(Evaluator):
    """Accuracy of the best of many linear classifiers: arXiv:2304.07193, appendix B.3.

    Each classifier has a pooling (class token, mean of the patches, or both), a number of last
    blocks, whose pooled tokens are joined, and a learning rate. All are trained at once on the same
    batches, by SGD with momentum 0.9 and a cosine schedule, on frozen and standardised features
    without augmentation. The best on a part of the training images is then trained on all of them;
    a note names it. DINOv2 crops and flips, and reports the highest test accuracy.
    """

    needs_encoder = True

    figures = {
        **ACCURACY,
        "learning_rate": Figure("learning rate selected on training images", None),
        "num_blocks": Figure("number of last blocks selected on training images", None),
    }

    class Config(Settings):
        poolings: tuple[Pooling, ...] = Field(
            ("token", "mean", "both"),
            min_length=1,
            max_length=3,
            description="token: the class token; mean: the mean of the patches; both: the class "
            "tokens and the mean of the last block's patches",
        )
        num_blocks: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
            (1, 4), min_length=1, max_length=16, description="numbers of last blocks to try"
        )
        learning_rates: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
            (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
            min_length=1,
            max_length=64,
            description="learning rates to try",
        )
        epochs: int = Field(20, ge=1, le=10_000, description="number of passes over the images")
        batch_size: int = Field(256, ge=1, le=1_000_000, description="number of images per step")
        validation_fraction: float = Field(
            0.1,
            gt=0,
            lt=1,
            description="fraction of the training images on which the classifier is selected",
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.test is not None
        assert bank.test.y is not None
        found = find_block_outputs(freeze_network(bank), max(self.config.num_blocks))
        if isinstance(found, str):
            return Evaluation({}, notes=(f"linear_grid was skipped, because {found}",))
        grid, notes = self._grid(found)
        if not grid:
            return Evaluation({}, notes=(*notes, "linear_grid was skipped: the grid is empty"))
        data = TrainingData(found, bank)
        (pooling, blocks), rate = self._select(data, grid, bank.seed)
        best = ((pooling, blocks),)
        heads = self._train(data, best, (rate,), torch.arange(len(data.outputs)), bank.seed)
        tested = NetworkOutputs(found.network.test_images, found.read)
        predicted = [
            heads(data.standardise(tested[part]))[0][:, 0].argmax(dim=1).cpu()
            for part in torch.arange(len(tested)).split(BATCH_SIZE)
        ]
        metrics = score_predictions(torch.cat(predicted).numpy(), bank.test.y.numpy())
        last = "the last block" if blocks == 1 else f"the last {blocks} blocks"
        note = f"linear_grid selected {TEXTS[pooling]} of {last}, learning rate {rate:g}"
        metrics |= {"learning_rate": rate, "num_blocks": blocks}
        return Evaluation(metrics, notes=(*notes, note))

    def _grid(self, found: BlockOutputs) -> tuple[list[Entry], tuple[str, ...]]:
        """Return the parts of the grid that the backbone offers, and notes about the others."""
        config, notes = self.config, []
        poolings, blocks = list(config.poolings), [*config.num_blocks]
        if not found.has_class_token and poolings != ["mean"]:
            poolings = [pooling for pooling in poolings if pooling == "mean"]
            notes.append("linear_grid: the backbone has no class token; only the mean is used")
        if max(blocks) > found.num_blocks:
            blocks = [number for number in blocks if number <= found.num_blocks]
            notes.append(
                f"linear_grid: num_blocks above {found.num_blocks} is left out, because the "
                "backbone gives no tokens of earlier blocks"
            )
        return [(pooling, number) for number in blocks for pooling in poolings], tuple(notes)

    def _select(self, data: TrainingData, grid: Sequence[Entry], seed: int) -> tuple[Entry, float]:
        """Return the part of the grid and the learning rate with the best validation accuracy."""
        rates = self.config.learning_rates
        if len(grid) == len(rates) == 1:
            return grid[0], rates[0]
        rows, held = split_validation(len(data.outputs), self.config.validation_fraction, seed)
        heads = self._train(data, grid, rates, rows, seed)
        hits = torch.zeros(len(grid), len(rates), dtype=torch.int64)
        for part in held.split(BATCH_SIZE):
            for i, logits in enumerate(heads(data.batch(part))):
                hits[i] += (logits.argmax(dim=2).cpu() == data.labels[part, None]).sum(dim=0)
        best = int(hits.argmax())
        return grid[best // len(rates)], rates[best % len(rates)]

    def _train(
        self,
        data: TrainingData,
        grid: Sequence[Entry],
        rates: Sequence[float],
        rows: Tensor,
        seed: int,
    ) -> GridHeads:
        """Train one classifier for each part of the grid and each rate; return them."""
        heads = GridHeads(data.mean, data.num_classes, grid, len(rates)).to(data.device)
        # With a rate of 1 and the loss times the rate, each head moves as with its own rate.
        optimizer = torch.optim.SGD(heads.parameters(), lr=1.0, momentum=0.9)
        scale = torch.tensor(rates, device=data.device)

        def loss_of(index: Tensor) -> Tensor:
            y = data.labels[index].to(data.device)[:, None].expand(-1, len(rates))
            losses = [
                functional.cross_entropy(logits.transpose(1, 2), y, reduction="none").mean(dim=0)
                for logits in heads(data.batch(index))
            ]
            return (torch.stack(losses) * scale).sum()

        train(optimizer, loss_of, rows, self.config.epochs, self.config.batch_size, seed)
        return heads.requires_grad_(False)


class TrainingData:
    """Standardised outputs of the last blocks for the training images, with their labels."""

    def __init__(self, found: BlockOutputs, bank: FeatureBank) -> None:
        assert bank.train.y is not None
        self.labels, self.num_classes = bank.train.y, bank.num_classes
        self.device = found.network.device
        self.outputs = NetworkOutputs(found.network.train_images, found.read)
        count = len(self.outputs)
        sums = squares = torch.zeros(())
        for part in torch.arange(count).split(BATCH_SIZE):
            x = self.outputs[part].double()
            sums, squares = sums + x.sum(dim=0), squares + x.square().sum(dim=0)
        mean = sums / count
        self.mean = mean.float()
        self.std = (squares / count - mean.square()).clamp(min=1e-12).sqrt().float()

    def standardise(self, outputs: Tensor) -> Tensor:
        """Return outputs with the mean 0 and standard deviation 1 of the training images."""
        return ((outputs - self.mean) / self.std).to(self.device)

    def batch(self, index: Tensor) -> Tensor:
        """Return the standardised outputs of training images."""
        return self.standardise(self.outputs[index])


class GridHeads(nn.Module):
    """Linear classifiers on the same batches, for each part of a grid and each learning rate.

    Args:
        example: outputs of the last blocks for one image, (n, S, D).
        num_classes: number of classes C.
        grid: poolings and numbers of blocks.
        num_rates: number of learning rates R.
    """

    def __init__(
        self, example: Tensor, num_classes: int, grid: Sequence[Entry], num_rates: int
    ) -> None:
        super().__init__()
        self.grid, self.num_rates = tuple(grid), num_rates
        widths = [pool_blocks(example[None], *entry).shape[1] for entry in grid]
        rows = num_rates * num_classes
        self.weights = nn.ParameterList([torch.zeros(rows, width) for width in widths])
        self.biases = nn.ParameterList([torch.zeros(rows) for _ in widths])

    def forward(self, outputs: Tensor) -> list[Tensor]:
        """Return the logits (B, R, C) for each part of the grid, of outputs (B, n, S, D)."""
        return [
            functional.linear(pool_blocks(outputs, *entry), weight, bias).unflatten(
                1, (self.num_rates, -1)
            )
            for entry, weight, bias in zip(self.grid, self.weights, self.biases, strict=True)
        ]

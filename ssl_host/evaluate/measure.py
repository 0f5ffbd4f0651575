"""Runs evaluators on a trained network and on every baseline."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_host.augment.views import ViewMaker, evaluation_view
from ssl_host.catalog.blame import blamed
from ssl_host.contracts.evaluation import Evaluation, Evaluator, FeatureBank, Features
from ssl_host.data.store import Pixels, Store
from ssl_host.evaluate.extract import (
    calibrated,
    network_features,
    pixel_features,
    statistic_features,
)

PAIRS = 2048
"""Images whose two views are compared for alignment."""


@dataclass
class Measurement:
    """All that evaluation found.

    Attributes:
        metrics: flat names, baselines under ``random_init.``, ``pixels.``, ``statistics.``.
        artifacts: tensors to keep, by file stem.
        notes: sentences for the report.
        bank: the trained network's features, for the report's pictures.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    bank: FeatureBank | None = None


def measure(
    evaluators: Mapping[str, Evaluator],
    encoder: nn.Module,
    untrained: nn.Module,
    views: ViewMaker,
    train: Store,
    test: Store | None,
    num_classes: int,
    seed: int,
    tell: Callable[[str], None] = lambda _: None,
    scratch: Path | None = None,
) -> Measurement:
    """Evaluate a network and its three baselines.

    Args:
        evaluators: by instance name.
        untrained: the same network as it was initialised.
        tell: is told what is being measured.
        scratch: folder for features that do not fit in memory.
    """
    found = Measurement()
    device = next(encoder.parameters()).device
    banks = _Banks(views, train, test, num_classes, seed)
    prepare = banks.prepare
    tell("features of the trained network")
    found.bank = banks.of(lambda x: network_features(encoder, x, prepare, device, scratch), encoder)
    usable = {}
    for name, evaluator in evaluators.items():
        reason = _reason_against(evaluator, found.bank)
        if reason:
            found.notes.append(f"{name} was left out: {reason}")
            continue
        usable[name] = evaluator
        tell(name)
        outcome = _evaluate(name, evaluator, found.bank)
        found.metrics |= {_key(name, metric): value for metric, value in outcome.metrics.items()}
        found.artifacts |= {
            (stem if stem == name or name == "linear" else f"{name}_{stem}"): tensors
            for stem, tensors in outcome.artifacts.items()
        }
        found.notes += outcome.notes
    compared = {name: e for name, e in usable.items() if e.has_baselines}
    if not compared:
        return found
    twin = calibrated(untrained.to(device), train.images, prepare, device)
    baselines: dict[str, tuple[Callable[[Pixels], Tensor], nn.Module | None]] = {
        "random_init": (lambda x: network_features(twin, x, prepare, device, scratch), twin),
        "pixels": (lambda x: pixel_features(x, scratch), None),
        "statistics": (statistic_features, None),
    }
    for label, (represent, network) in baselines.items():
        bank = banks.of(represent, network)
        for name, evaluator in compared.items():
            if network is None and evaluator.needs_encoder:
                continue
            tell(f"{name} of the baseline {label}")
            outcome = _evaluate(name, evaluator, bank)
            found.metrics |= {
                f"{label}.{_key(name, metric)}": value
                for metric, value in outcome.metrics.items()
                if "top" in metric
            }
    return found


class _Banks:
    """Makes the feature banks of one data set for any representation."""

    def __init__(
        self, views: ViewMaker, train: Store, test: Store | None, num_classes: int, seed: int
    ) -> None:
        self.views = views
        self.train = train
        self.test = test
        self.num_classes = num_classes
        self.seed = seed

    def prepare(self, images: Tensor) -> Tensor:
        """What a network sees of uint8 images, without randomness."""
        views = self.views
        return evaluation_view(images, views.image_size, views.mean, views.std)

    def augment(self, images: Tensor, index: Tensor, epoch: int) -> Tensor:
        """A random crop and flip of them."""
        return self.views.crop_and_flip(images, index, epoch, self.seed)

    def of(self, represent: Callable[[Pixels], Tensor], network: nn.Module | None) -> FeatureBank:
        """The bank of a network, or of a representation that is no network's."""
        train, test = self.train, self.test
        held = None if test is None else _readable(represent(test.images), test)
        known = _readable(represent(train.images), train)
        bank = FeatureBank(known, held, self.num_classes, self.seed)
        if network is None:
            return bank
        bank = replace(
            bank,
            encoder=lambda: copy.deepcopy(network),
            pairs=lambda: _pairs(network, self.views, train.images, self.seed),
        )
        if len(known.x) < len(train) or (test is not None and held and len(held.x) < len(test)):
            return bank  # some turned out unreadable: images and rows are not numbered alike
        return replace(
            bank,
            train_images=train.images,
            test_images=None if test is None else test.images,
            prepare=self.prepare,
            augment=self.augment,
        )


def _readable(x: Tensor, store: Store) -> Features:
    """Without the rows of images that turned out to be unreadable."""
    lost = list(getattr(store.images, "unreadable", ()))
    if not lost:
        return Features(x, store.labels)
    kept = torch.ones(len(x), dtype=torch.bool)
    kept[lost] = False
    return Features(x[kept], None if store.labels is None else store.labels[kept])


def _key(name: str, metric: str) -> str:
    return f"{name}.{metric}" if metric else name


def _reason_against(evaluator: Evaluator, bank: FeatureBank) -> str:
    if evaluator.needs_labels and bank.train.y is None:
        return "the images have no labels"
    if evaluator.needs_labels and bank.num_classes < 2:
        return f"there is only {bank.num_classes} class"
    if evaluator.needs_test and bank.test is None:
        return "there is no held-out split"
    return ""


def _evaluate(name: str, evaluator: Evaluator, bank: FeatureBank) -> Evaluation:
    with (
        blamed(evaluator, f"while measuring '{name}'"),
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(bank.seed)
        return evaluator.evaluate(bank)


@torch.no_grad()
def _pairs(
    network: nn.Module, views: ViewMaker, images: Pixels, seed: int
) -> tuple[Tensor, Tensor]:
    """Features of two views of the same images, spread over the set."""
    device = next(network.parameters()).device
    chosen = torch.linspace(0, len(images) - 1, min(PAIRS, len(images))).long()
    network.eval()
    first, second = [], []
    for part in chosen.split(256):
        made = views(images[part].to(device), part.to(device), 0, seed)
        first.append(network(made[0]).float().cpu())
        second.append(network(made[min(1, len(made) - 1)]).float().cpu())
    return torch.cat(first), torch.cat(second)

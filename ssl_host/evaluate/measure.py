"""Runs evaluators on a trained network and on every baseline."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_host.augment.executor import ViewMaker, evaluation_view
from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.evaluation import Evaluation, Evaluator, FeatureBank, Features
from ssl_host.data.store import ImageStore, PixelArray
from ssl_host.evaluate.extract import (
    Represent,
    network_features,
    pixels,
    recalibrate_batchnorm,
    representations,
    statistics,
)
from ssl_host.toolkit.sampling import evenly_spaced_indices

PAIRS = 2048
"""Images whose two views are compared for alignment."""
TRAINED = ""
"""How the trained network is called among its baselines, which have names."""
MOVED = 4096
"""Rows that are moved at a time."""


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
    train: ImageStore,
    test: ImageStore | None,
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
    usable = {}
    for name, evaluator in evaluators.items():
        reason = _reason_against(evaluator, train, test, num_classes)
        if reason:
            found.notes.append(f"{name} was left out: {reason}")
        else:
            usable[name] = evaluator
    compared = {name: e for name, e in usable.items() if e.has_baselines}
    device = next(encoder.parameters()).device
    banks = _Banks(views, train, test, num_classes, seed)
    networks = {TRAINED: encoder}
    represents = {TRAINED: network_features(encoder, banks.prepare, device)}
    if compared:
        twin = recalibrate_batchnorm(untrained.to(device), train.images, banks.prepare, device)
        networks["random_init"] = twin
        represents["random_init"] = network_features(twin, banks.prepare, device)
        represents |= {"pixels": pixels, "statistics": statistics}
    tell("features of the network" + (" and its baselines" if compared else ""))
    made = banks.of(represents, networks, scratch)
    found.bank = made.pop(TRAINED)
    for name, evaluator in usable.items():
        tell(name)
        _add(found, name, _evaluate(name, evaluator, found.bank))
    for label in list(made):
        # Each bank goes when it has been measured.
        found.metrics |= _baseline(label, compared, made.pop(label), tell)
    return found


def _add(found: Measurement, name: str, outcome: Evaluation) -> None:
    """What an evaluator found of the trained network."""
    found.metrics |= {_key(name, metric): value for metric, value in outcome.metrics.items()}
    found.artifacts |= {
        (stem if stem == name or name == "linear" else f"{name}_{stem}"): tensors
        for stem, tensors in outcome.artifacts.items()
    }
    found.notes += outcome.notes


def _baseline(
    label: str,
    evaluators: Mapping[str, Evaluator],
    bank: FeatureBank,
    tell: Callable[[str], None],
) -> dict[str, float]:
    """A baseline's accuracies, by key."""
    found = {}
    for name, evaluator in evaluators.items():
        if bank.encoder is None and evaluator.needs_encoder:
            continue
        tell(f"{name} of the baseline {label}")
        for metric, value in _evaluate(name, evaluator, bank).metrics.items():
            if "top" in metric:
                found[f"{label}.{_key(name, metric)}"] = value
    return found


class _Banks:
    """Makes the feature banks of one data set for any representation."""

    def __init__(
        self,
        views: ViewMaker,
        train: ImageStore,
        test: ImageStore | None,
        num_classes: int,
        seed: int,
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

    def of(
        self,
        represents: Mapping[str, Represent],
        networks: Mapping[str, nn.Module],
        scratch: Path | None,
    ) -> dict[str, FeatureBank]:
        """The banks of all representations, by name; every image is read once for all of them.

        Args:
            networks: of the representations that are a network's.
        """
        test = self.test
        held = {} if test is None else representations(test.images, represents, scratch)
        known = representations(self.train.images, represents, scratch)
        return {
            name: self._bank(
                _readable(known.pop(name), self.train),
                None if test is None else _readable(held.pop(name), test),
                networks.get(name),
            )
            for name in represents
        }

    def _bank(
        self, known: Features, held: Features | None, network: nn.Module | None
    ) -> FeatureBank:
        train, test = self.train, self.test
        bank = FeatureBank(known, held, self.num_classes, self.seed)
        if network is None:
            return bank
        bank = replace(
            bank,
            encoder=lambda: copy.deepcopy(network),
            view_pairs=lambda: _pairs(network, self.views, train.images, self.seed),
        )
        if len(known.x) < len(train) or (test is not None and held and len(held.x) < len(test)):
            return bank  # some turned out unreadable: images and rows are not numbered alike
        return replace(
            bank,
            train_images=train.images,
            test_images=None if test is None else test.images,
            eval_transform=self.prepare,
            train_transform=self.augment,
        )


def _readable(x: Tensor, store: ImageStore) -> Features:
    """Without the rows of images that turned out to be unreadable."""
    lost = list(getattr(store.images, "unreadable", ()))
    if not lost:
        return Features(x, store.labels)
    kept = torch.ones(len(x), dtype=torch.bool)
    kept[lost] = False
    # Moved up where they are: a copy of features that lie on the disk would fill the memory.
    done = 0
    for rows in kept.nonzero().squeeze(1).split(MOVED):
        x[done : done + len(rows)] = x[rows]
        done += len(rows)
    return Features(x[:done], None if store.labels is None else store.labels[kept])


def _key(name: str, metric: str) -> str:
    return f"{name}.{metric}" if metric else name


def _reason_against(
    evaluator: Evaluator, train: ImageStore, test: ImageStore | None, num_classes: int
) -> str:
    if evaluator.needs_labels and train.labels is None:
        return "the images have no labels"
    if evaluator.needs_labels and num_classes < 2:
        return f"there is only {num_classes} class"
    if evaluator.needs_test and test is None:
        return "there is no held-out split"
    return ""


def _evaluate(name: str, evaluator: Evaluator, bank: FeatureBank) -> Evaluation:
    with (
        attribute_errors(evaluator, f"while measuring '{name}'"),
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(bank.seed)
        return evaluator.evaluate(bank)


@torch.no_grad()
def _pairs(
    network: nn.Module, views: ViewMaker, images: PixelArray, seed: int
) -> tuple[Tensor, Tensor]:
    """Features of two views of the same images, spread over the set."""
    device = next(network.parameters()).device
    chosen = evenly_spaced_indices(len(images), PAIRS)
    network.eval()
    first, second = [], []
    for part in chosen.split(256):
        made = views(images[part].to(device), part.to(device), 0, seed)
        first.append(network(made[0]).float().cpu())
        second.append(network(made[min(1, len(made) - 1)]).float().cpu())
    return torch.cat(first), torch.cat(second)

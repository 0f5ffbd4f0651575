"""Compute the features of one data set for the trained network and each baseline."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_host.augment.executor import ViewMaker, evaluation_view
from ssl_host.contracts.evaluation import FeatureBank, Features
from ssl_host.data.store import ImageStore, PixelArray
from ssl_host.evaluate.extract import compute_features
from ssl_host.evaluate.representations import Representation
from ssl_host.toolkit.sampling import evenly_spaced_indices

MAX_PAIRS = 2048
"""Largest number of images for which the features of two views are computed."""
ROWS_PER_MOVE = 4096
"""Number of rows that are moved at a time when the rows of unreadable images are removed."""


@dataclass(frozen=True)
class FeatureBankBuilder:
    """Builder of feature banks for the trained network and each baseline.

    Attributes:
        views: view maker for random crops and views, and for normalised network input.
        train: the images that probes are trained on.
        test: the held-out images; None if there are none.
        num_classes: number of classes; 0 if the images have no labels.
        seed: seed of the random crops and of the evaluators.
        test_is_from_train: True if the held-out images are a part of the training images.
    """

    views: ViewMaker
    train: ImageStore
    test: ImageStore | None
    num_classes: int
    seed: int
    test_is_from_train: bool = False

    def eval_transform(self, images: Tensor) -> Tensor:
        """Convert uint8 images to network input: the centred square, resized and normalised."""
        views = self.views
        return evaluation_view(images, views.image_size, views.mean, views.std)

    def train_transform(self, images: Tensor, index: Tensor, epoch: int) -> Tensor:
        """Convert uint8 images to network input: random crops and flips, normalised."""
        return self.views.crop_and_flip(images, index, epoch, self.seed)

    def build(
        self, representations: Mapping[str, Representation], scratch: Path | None
    ) -> dict[str, FeatureBank]:
        """Return the feature bank (train and test) of each representation, keyed by name.

        Each image is read only once.

        Args:
            representations: the representations, keyed by name.
            scratch: folder for features that do not fit in memory.
        """
        functions = {name: item.features for name, item in representations.items()}
        test = self.test
        test_rows = {} if test is None else compute_features(test.images, functions, scratch)
        train_rows = compute_features(self.train.images, functions, scratch)
        return {
            name: self._make_bank(
                _readable_features(train_rows.pop(name), self.train),
                None if test is None else _readable_features(test_rows.pop(name), test),
                representations[name].network,
            )
            for name in functions
        }

    def _make_bank(
        self, train: Features, test: Features | None, network: nn.Module | None
    ) -> FeatureBank:
        """Return a feature bank; with a network, it also gives access to the network and images."""
        bank = FeatureBank(
            train,
            test,
            self.num_classes,
            self.seed,
            test_is_from_train=self.test_is_from_train,
        )
        if network is None:
            return bank
        bank = replace(
            bank,
            encoder=lambda: copy.deepcopy(network),
            view_pairs=lambda: _view_pairs(network, self.views, self.train.images, self.seed),
        )
        if len(train.x) < len(self.train) or (
            self.test is not None and test and len(test.x) < len(self.test)
        ):
            return bank  # some images are unreadable, so image and row numbers differ
        return replace(
            bank,
            train_images=self.train.images,
            test_images=None if self.test is None else self.test.images,
            eval_transform=self.eval_transform,
            train_transform=self.train_transform,
            train_dataset=self.train.originals,
            test_dataset=None if self.test is None else self.test.originals,
        )


def _readable_features(x: Tensor, store: ImageStore) -> Features:
    """Return features and labels without the rows of unreadable images; ``x`` is overwritten."""
    unreadable = list(getattr(store.images, "unreadable", ()))
    if not unreadable:
        return Features(x, store.labels)
    readable = torch.ones(len(x), dtype=torch.bool)
    readable[unreadable] = False
    # Move rows in place, because a copy of features stored on disk might not fit in memory.
    done = 0
    for rows in readable.nonzero().squeeze(1).split(ROWS_PER_MOVE):
        x[done : done + len(rows)] = x[rows]
        done += len(rows)
    return Features(x[:done], None if store.labels is None else store.labels[readable])


@torch.no_grad()
def _view_pairs(
    network: nn.Module, views: ViewMaker, images: PixelArray, seed: int
) -> tuple[Tensor, Tensor]:
    """Return the features of two random views of each image, for at most ``MAX_PAIRS`` images."""
    device = next(network.parameters()).device
    network.eval()
    first, second = [], []
    for index in evenly_spaced_indices(len(images), MAX_PAIRS).split(256):
        pair = views(images[index].to(device), index.to(device), 0, seed)
        first.append(network(pair[0]).float().cpu())
        second.append(network(pair[min(1, len(pair) - 1)]).float().cpu())
    return torch.cat(first), torch.cat(second)

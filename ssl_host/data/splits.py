"""What is trained on, what probes learn from, and what is held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.contracts.data import DataSource, ImageDataset, MissingImage
from ssl_host.errors import DataError

HOLDOUT_SEED = 20_240_601
"""The cut is the same in every run, so that runs with different seeds share their test images."""


class Subset(ImageDataset):
    """Some images of a set."""

    def __init__(
        self, whole: ImageDataset, chosen: Tensor, missing: Sequence[MissingImage] = ()
    ) -> None:
        self.missing = missing
        self.whole = whole
        self.chosen = chosen
        self.labels = None if whole.labels is None else whole.labels[chosen]
        self.classes = whole.classes
        self.image_size = whole.image_size
        self.slow_hint = whole.slow_hint

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, i: int) -> Tensor:
        return self.whole.read(int(self.chosen[i]))

    def read_many(self, indices: Tensor) -> Tensor:
        return self.whole.read_many(self.chosen[indices])

    def name(self, i: int) -> str:
        return self.whole.name(int(self.chosen[i]))

    def path(self, i: int) -> Path | None:
        return self.whole.path(int(self.chosen[i]))


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set.

    Attributes:
        train: what pretraining sees.
        probe: what evaluators learn from; ``train`` itself in most sets.
        test: seen by neither; None where there are no labels or no images to spare.
        notes: what was cut and why, for log and report.
    """

    train: ImageDataset
    probe: ImageDataset
    test: ImageDataset | None
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, empty without labels."""
        return self.probe.classes if self.probe.labels is not None else ()


def open_splits(source: DataSource, holdout: float) -> Splits:
    """Open a source; cut a held-out part where it has labels and none of its own.

    Raises:
        DataError: when there is nothing to train on.
        PluginError: when the source fails in another way than it should.
    """
    with attribute_errors(source, "while opening its images"):
        return _open(source, holdout)


def _open(source: DataSource, holdout: float) -> Splits:
    train = source.open("train")
    if train is None or len(train) == 0:
        raise DataError(f"[data] {type(source).__name__} has no training images")
    test = source.open("test")
    probe = train
    if train.labels is None:
        labelled = source.open("probe")
        if labelled is not None and labelled.labels is not None:
            probe = labelled
    if test is not None or probe.labels is None:
        return Splits(train, probe, test)
    kept, held = (_part(probe, places) for places in _cut(_labels(probe), holdout))
    if len(held) == 0:
        note = "too few images to hold any out: evaluators that need a test split are left out"
        return Splits(train, probe, None, (note,))
    note = (
        f"the data have no test split: {len(held)} of {len(probe)} images were held out, by class, "
        "and neither the pretraining nor any probe of this run sees them"
    )
    return Splits(kept if probe is train else train, kept, held, (note,))


def _labels(images: ImageDataset) -> Tensor:
    """Of all images in the order of the original set, those that are missing now included."""
    assert images.labels is not None
    if not images.missing:
        return images.labels
    found: list[int] = images.labels.tolist()
    for missing in sorted(images.missing):
        found.insert(missing.index, -1 if missing.label is None else missing.label)
    return torch.tensor(found)


def _part(images: ImageDataset, places: Tensor) -> Subset:
    """The images at some places of the original set."""
    if not images.missing:
        return Subset(images, places)
    gone = torch.tensor(sorted(missing.index for missing in images.missing))
    here = places[~torch.isin(places, gone)]
    wanted = set(places.tolist())
    missing = [each for each in images.missing if each.index in wanted]
    # A row's number is its place less the missing ones before it.
    return Subset(images, here - torch.searchsorted(gone, here), missing)


def _cut(labels: Tensor, holdout: float) -> tuple[Tensor, Tensor]:
    """Indices kept and held out, by class, the same in every run; a class's last stays."""
    generator = torch.Generator().manual_seed(HOLDOUT_SEED)
    order = torch.randperm(len(labels), generator=generator)
    held = []
    for label in labels.unique():
        members = order[labels[order] == label]
        held.append(members[: min(round(holdout * len(members)), len(members) - 1)])
    chosen = torch.cat(held).sort().values
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[chosen] = False
    return kept.nonzero().squeeze(1), chosen

"""A network and its baselines: every image read once, unreadable ones left out in their place."""

from dataclasses import replace

import pytest
import torch

import ssl_host
from ssl_host.augment.executor import ViewMaker
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.data.datasets import open_datasets
from ssl_host.evaluate import measure as room
from ssl_host.evaluate.measure import measure
from tests.conftest import tiny


class Counted:
    """A store's images that count how often each is asked for."""

    def __init__(self, images):
        self.images = images
        self.asked = torch.zeros(len(images), dtype=torch.int64)
        self.unreadable = {}

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.asked[index] += 1
        return self.images[index]


@pytest.fixture
def experiment():
    config = resolve_sections(tiny(), Catalog())
    made = compose(config)
    images = open_datasets(made.source, made.views, config.loader)
    counted = [replace(part, images=Counted(part.images)) for part in (images.probe, images.test)]
    return made, counted, len(images.classes)


def measured(experiment, lost=()):
    made, (train, test), classes = experiment
    train.images.unreadable = dict.fromkeys(lost, "torn")
    assert isinstance(made.views, ViewMaker)
    evaluators = {name: ssl_host.build("evaluator", name) for name in ("knn", "rankme")}
    backbone = made.method.backbone
    return measure(evaluators, backbone, backbone, made.views, train, test, classes, seed=1)


def test_every_image_is_read_once_for_the_network_and_all_baselines(experiment):
    """And once more where the untrained network's batch norm is set by them.

    Seen to fail with a reading for each representation.
    """
    found = measured(experiment)
    assert {name.split(".")[0] for name in found.metrics if name.endswith("top1")} == {
        *("knn", "random_init", "pixels", "statistics")
    }
    _, (train, test), _ = experiment
    assert set(train.images.asked.tolist()) == {2}
    assert set(test.images.asked.tolist()) == {1}


def test_unreadable_images_are_moved_out_where_the_features_lie(experiment, monkeypatch):
    """Seen to fail with a copy of the rest, which of features on the disk fills the memory."""
    whole = measured(experiment).bank.train
    monkeypatch.setattr(room, "MOVED", 5)
    made = []
    taken = room.representations

    def noted(*args):
        made.append(taken(*args))
        return {**made[-1]}

    monkeypatch.setattr(room, "representations", noted)
    bank = measured(experiment, lost=[0, 7, 30]).bank
    kept = [i for i in range(len(whole.x)) if i not in (0, 7, 30)]
    assert torch.equal(bank.train.x, whole.x[kept])
    assert torch.equal(bank.train.y, whole.y[kept])
    assert bank.train.x.data_ptr() == made[1][""].data_ptr()
    assert bank.train_images is None  # its numbers would be other images'

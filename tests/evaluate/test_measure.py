"""Evaluation of a network and its baselines: reads, unreadable images, declared figures."""

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from PIL import Image

import ssl_host
from ssl_host import Evaluation, Evaluator, Figure
from ssl_host.augment.executor import ViewMaker
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.data.datasets import open_datasets
from ssl_host.evaluate import banks
from ssl_host.evaluate.banks import FeatureBankBuilder
from ssl_host.evaluate.figures import describe_figures
from ssl_host.evaluate.measure import measure
from ssl_host.evaluate.representations import make_representations, network_representation
from ssl_host.pipeline.baseline_inputs import make_baseline_inputs
from ssl_host.toolkit.resizing import resize_to_square
from tests.conftest import tiny


class Counted:
    """Images of a store that count how often each is read."""

    def __init__(self, images):
        self.images = images
        self.reads = torch.zeros(len(images), dtype=torch.int64)
        self.unreadable = {}

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.reads[index] += 1
        return self.images[index]


@pytest.fixture
def experiment():
    config = resolve_sections(tiny(), Catalog())
    experiment = compose(config)
    images = open_datasets(experiment.source, experiment.views, config.loader)
    stores = (images.probe, images.test)
    counted = [replace(store, images=Counted(store.images)) for store in stores]
    return experiment, counted, len(images.classes)


def measured(experiment, unreadable=(), evaluators=None, baselines=None):
    composed, (train, test), classes = experiment
    train.images.unreadable = dict.fromkeys(unreadable, "truncated")
    assert isinstance(composed.views, ViewMaker)
    if evaluators is None:
        evaluators = {name: ssl_host.build("evaluator", name) for name in ("knn", "rankme")}
    backbone = composed.method.backbone
    builder = FeatureBankBuilder(composed.views, train, test, classes, seed=1)
    inputs = make_baseline_inputs(composed, builder, torch.device("cpu"), Catalog())

    def make_baselines():
        return make_representations(composed.baselines if baselines is None else baselines, inputs)

    return measure(evaluators, backbone, make_baselines, builder)


def test_each_image_is_read_once_for_the_network_and_all_baselines(experiment):
    """Training images are read once more to recalibrate the untrained network's batch norm."""
    found = measured(experiment)
    assert {name.split(".")[0] for name in found.metrics if name.endswith("top1")} == {
        *("knn", "random_init", "pixels", "statistics")
    }
    _, (train, test), _ = experiment
    assert set(train.images.reads.tolist()) == {2}
    assert set(test.images.reads.tolist()) == {1}


def test_unreadable_images_are_removed_in_place(experiment, monkeypatch):
    """A copy of features that are on the disk would fill the memory."""
    whole = measured(experiment).bank.train
    monkeypatch.setattr(banks, "ROWS_PER_MOVE", 5)
    computed = []
    compute_features = banks.compute_features

    def recorded(*args):
        computed.append(compute_features(*args))
        return {**computed[-1]}

    monkeypatch.setattr(banks, "compute_features", recorded)
    bank = measured(experiment, unreadable=[0, 7, 30]).bank
    kept = [i for i in range(len(whole.x)) if i not in (0, 7, 30)]
    assert torch.equal(bank.train.x, whole.x[kept])
    assert torch.equal(bank.train.y, whole.y[kept])
    assert bank.train.x.data_ptr() == computed[1][""].data_ptr()
    assert bank.train_images is None  # image and row numbers differ


@pytest.mark.parametrize("store", ["packed", "files"])
def test_banks_give_the_original_of_each_stored_image(tmp_path, store):
    """Images without a label or unreadable ones leave out rows; held-out images are any rows."""
    for i in range(30):
        name = tmp_path / "photos" / ("", "cat", "dog")[i % 3] / f"{i}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((20 + i, 30), 20 + i).convert("RGB").save(name)
    if store == "packed":
        (tmp_path / "photos" / "cat" / "4.png").write_bytes(b"broken")
    source = {"name": "imagefolder", "root": tmp_path / "photos", "image_size": 14}
    settings = {"store": store, "cache_dir": tmp_path / "cache", "num_workers": 0}
    experiment = compose(resolve_sections({**tiny(loader=settings), "data": source}, Catalog()))
    images = open_datasets(experiment.source, experiment.views, experiment.config.loader)
    builder = FeatureBankBuilder(experiment.views, images.probe, images.test, 2, seed=1)
    network = network_representation(
        experiment.method.backbone, builder.eval_transform, torch.device("cpu")
    )
    bank = builder.build({"": network}, None)[""]
    for stored, opened in (
        (bank.train_images, bank.train_dataset()),
        (bank.test_images, bank.test_dataset()),
    ):
        assert len(stored) == len(opened) > 2
        for i, pixels in enumerate(stored[:]):
            assert torch.equal(resize_to_square(opened.read(i), 16, opened.fit), pixels)


class ErrorRates(Evaluator):
    """Third-party evaluator with figures of any name."""

    figures: ClassVar = {
        "error": Figure("error rate", higher_is_better=False, unit="%", baseline=True),
        "N.mAP": Figure("mean average precision", baseline=True),
        "seconds": Figure("time", higher_is_better=False),
    }

    def evaluate(self, bank):
        values = {"error": 0.5, "3.mAP": 0.2, "seconds": 1.0, "undeclared": 2.0}
        return Evaluation(values, {"head": {}})


def test_baselines_are_measured_for_declared_figures_of_any_name(experiment):
    evaluators = {"detect": ErrorRates(ErrorRates.Config())}
    measurement = measured(experiment, evaluators=evaluators)
    baselines = {name for name in measurement.metrics if not name.startswith("detect.")}
    assert baselines == {
        f"{baseline}.detect.{figure}"
        for baseline in ("random_init", "pixels", "statistics")
        for figure in ("error", "3.mAP")
    }
    assert set(measurement.artifacts) == {"detect_head"}
    described = describe_figures([*measurement.metrics, "online.top1"], evaluators, [])
    assert set(described) == {"detect.error", "detect.3.mAP", "detect.seconds", "online.top1"}
    assert described["detect.3.mAP"]["description"] == "mean average precision"
    assert described["detect.error"]["higher_is_better"] is False
    assert described["detect.error"]["needs_labels"] is True
    assert "needs_labels" not in described["online.top1"]


def test_figures_by_annotations_of_the_evaluator_need_labels():
    class Annotated(ErrorRates):
        needs_labels = False
        uses_annotations = True

    class Free(ErrorRates):
        needs_labels = False

    evaluators = {"a": Annotated(Annotated.Config()), "b": Free(Free.Config())}
    described = describe_figures(["a.error", "b.error"], evaluators, [])
    assert described["a.error"]["needs_labels"] is True
    assert described["b.error"]["needs_labels"] is False


class Trained(ErrorRates):
    """Third-party evaluator that needs the network and its images."""

    needs_encoder = True

    def evaluate(self, bank):
        images = bank.train_images[:2]
        features = bank.encoder()(bank.eval_transform(images))
        difference = (features - bank.train.x[:2]).abs().max()
        return Evaluation({"error": float(difference < 1e-4)})


def test_evaluators_that_need_a_network_measure_baselines_that_are_networks(experiment):
    measurement = measured(experiment, evaluators={"tune": Trained(Trained.Config())})
    assert measurement.metrics == {"tune.error": 1.0, "random_init.tune.error": 1.0}

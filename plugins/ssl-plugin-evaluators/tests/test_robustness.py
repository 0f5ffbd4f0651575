"""Accuracy on corrupted images with known results, and against a plain loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from ssl_plugin_evaluators.corruptions import CORRUPTIONS, STANDARD, corrupt
from torch import nn

import ssl_host
from ssl_host import FeatureBank, Features

CLASSES, SIDE = 3, 12


class Pixels(nn.Module):
    def forward(self, images):
        return images.flatten(1)


class Constant(nn.Module):
    def forward(self, images):
        return images.flatten(1) * 0 + 1


def images_of(y, seed):
    """Return images in which a third of the rows is brighter, depending on the class."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(60, 120, (len(y), 3, SIDE, SIDE), generator=generator)
    for i, label in enumerate(y):
        images[i, :, 4 * label : 4 * label + 4] += 60
    return images.to(torch.uint8)


def bank(network=None, train=90, test=60, images=images_of):
    network = network or Pixels()
    y, yt = torch.arange(train) % CLASSES, torch.arange(test) * CLASSES // test
    x, xt = images(y, 0), images(yt, 1)
    transform = lambda batch: batch / 128 - 1  # noqa: E731
    return FeatureBank(
        Features(network(transform(x)), y),
        Features(network(transform(xt)), yt),
        CLASSES,
        seed=4,
        encoder=lambda: network,
        train_images=x,
        test_images=xt,
        eval_transform=transform,
        train_transform=lambda batch, index, epoch: transform(batch),
    )


def evaluate(b, **settings):
    return ssl_host.build("evaluator", "robustness", **settings).evaluate(b)


def test_perfect_features_have_a_relative_accuracy_of_one():
    found = evaluate(bank(), corruptions=("contrast", "brightness", "gaussian_noise")).metrics
    assert found["clean"] == found["corrupted"] == found["relative"] == 1
    assert found["severity.5"] == found["contrast"] == 1


def test_collapsed_and_random_features_are_at_chance():
    collapsed = evaluate(bank(Constant()), corruptions=("fog", "pixelate")).metrics
    assert (collapsed["clean"], collapsed["corrupted"]) == pytest.approx((1 / 3, 1 / 3))
    noise = bank(images=lambda y, s: images_of(torch.randint(3, y.shape), s), test=300)
    found = evaluate(noise, corruptions=("fog", "shot_noise")).metrics
    assert found["corrupted"] == pytest.approx(1 / 3, abs=0.12)


@pytest.mark.parametrize("classifier", ["knn", "logistic"])
def test_accuracy_equals_a_plain_loop(classifier):
    b = bank()
    names = ("impulse_noise", "zoom_blur", "fog")
    found = evaluate(b, classifier=classifier, corruptions=names)
    scaler = StandardScaler().fit(b.train.x)
    model = LogisticRegression(max_iter=500).fit(scaler.transform(b.train.x), b.train.y)
    table = np.zeros((3, 5))
    for i, name in enumerate(names):
        for severity in range(1, 6):
            generator = np.random.default_rng([4, 0, severity, *name.encode()])
            pixels = corrupt(b.test_images.permute(0, 2, 3, 1).numpy(), name, severity, generator)
            x = (pixels / 128 - 1).transpose(0, 3, 1, 2).reshape(len(pixels), -1)
            if classifier == "logistic":
                table[i, severity - 1] = model.score(scaler.transform(x), b.test.y)
            else:
                test = Features(torch.from_numpy(x).float(), b.test.y)
                knn = ssl_host.build("evaluator", "knn").evaluate(replace(b, test=test))
                table[i, severity - 1] = knn.metrics["top1"]
    assert found.metrics["corrupted"] == pytest.approx(table.mean(), abs=1e-6)
    assert found.metrics["severity.2"] == pytest.approx(table[:, 1].mean(), abs=1e-6)
    assert found.metrics["zoom_blur"] == pytest.approx(table[1].mean(), abs=1e-6)
    clean = found.metrics["clean"]
    assert found.metrics["relative"] == pytest.approx(table.mean() / clean, abs=1e-6)
    assert np.abs(found.artifacts["robustness"]["accuracy"].numpy() - table).max() < 1e-6


def test_evenly_spaced_images_of_all_classes_are_corrupted():
    found = evaluate(bank(), max_images=30, corruptions=("contrast",)).metrics
    assert found["clean"] == 1
    subset = bank()
    test = Features(subset.test.x, subset.test.y.flip(0))
    flipped = evaluate(replace(subset, test=test), max_images=30, corruptions=("contrast",)).metrics
    assert flipped["clean"] == pytest.approx(1 / 3, abs=0.05)


def test_every_corruption_has_a_figure_and_can_be_chosen():
    evaluator = ssl_host.build("evaluator", "robustness", corruptions=tuple(CORRUPTIONS))
    assert set(CORRUPTIONS) <= set(evaluator.figures)
    assert ssl_host.build("evaluator", "robustness").config.corruptions == STANDARD


def test_without_images_robustness_is_skipped_with_a_note():
    found = evaluate(replace(bank(), test_images=None))
    assert not found.metrics
    assert "cannot be read" in found.notes[0]

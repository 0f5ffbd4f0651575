"""Accuracies and F1 scores on unequal classes, compared with scikit-learn."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    top_k_accuracy_score,
)
from torch.nn import functional

import ssl_host
from ssl_host import FeatureBank, Features
from ssl_host.builtin.evaluators.accuracy import AccuracyCounter
from ssl_host.builtin.evaluators.few_label import draw_labelled, fit_logistic

CLASSES = 7
SIZES = (60, 30, 12, 6, 4, 2)
"""Number of held-out images of each class; the last class has none."""


def reference(predicted, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a predicted class without images
        return {
            "top1": accuracy_score(labels, predicted),
            "balanced_accuracy": balanced_accuracy_score(labels, predicted),
            "macro_f1": f1_score(labels, predicted, average="macro"),
        }


def bank(noise=2.0):
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, 9, generator=generator)
    y = torch.arange(20 * CLASSES) % CLASSES
    yt = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    x, xt = (centres[c] + noise * torch.randn(len(c), 9, generator=generator) for c in (y, yt))
    return FeatureBank(Features(x, y), Features(xt, yt), CLASSES)


def test_counter_over_batches_equals_scikit_learn():
    labels = bank().test.y
    scores = torch.randn(len(labels), CLASSES, generator=torch.Generator().manual_seed(1))
    scores[:, 5] = -9  # never predicted
    counter = AccuracyCounter(CLASSES)
    for rows in torch.arange(len(labels)).split(17):
        counter.update(scores[rows], labels[rows])
    expected = reference(scores.argmax(dim=1), labels)
    expected["top5"] = top_k_accuracy_score(labels, scores, k=5, labels=range(CLASSES))
    assert counter.metrics() == pytest.approx(expected, abs=1e-12)
    assert expected["balanced_accuracy"] != pytest.approx(expected["top1"], abs=0.01)


def test_counter_of_a_perfect_and_a_constant_prediction():
    labels = bank().test.y
    perfect, constant = AccuracyCounter(CLASSES), AccuracyCounter(CLASSES)
    perfect.update(functional.one_hot(labels, CLASSES).float(), labels)
    constant.update(torch.eye(CLASSES)[:1].expand(len(labels), -1), labels)
    assert set(perfect.metrics().values()) == {1.0}
    largest = SIZES[0] / sum(SIZES)
    found = constant.metrics()
    assert found["top1"] == pytest.approx(largest)
    assert found["balanced_accuracy"] == pytest.approx(1 / len(SIZES))
    assert found["macro_f1"] == pytest.approx(2 * largest / (1 + largest) / len(SIZES))


def test_linear_classifier_on_unequal_classes_equals_scikit_learn():
    b = bank()
    found = ssl_host.build("evaluator", "linear", epochs=5).evaluate(b)
    layer = found.artifacts["linear"]
    predicted = (b.test.x @ layer["weight"].T + layer["bias"]).argmax(dim=1)
    expected = reference(predicted, b.test.y)
    assert {k: found.metrics[k] for k in expected} == pytest.approx(expected, abs=1e-6)


def test_few_labels_on_unequal_classes_average_the_draws():
    b = bank()
    mean, std = b.train.x.mean(dim=0), b.train.x.std(dim=0)
    scores = []
    for rows in draw_labelled(b.train.y, CLASSES, 5, 3):
        x = ((b.train.x[rows] - mean) / std)[None]
        logits = fit_logistic(x, b.train.y[rows][None], CLASSES, (b.test.x - mean) / std)[0]
        scores.append(reference(logits.argmax(dim=1), b.test.y))
    found = ssl_host.build("evaluator", "few_label", labels=(5,), draws=3).evaluate(b).metrics
    for name in scores[0]:
        assert found[f"5.{name}"] == pytest.approx(np.mean([s[name] for s in scores]), abs=1e-6)
    assert found["5.top1_std"] == pytest.approx(np.std([s["top1"] for s in scores], ddof=1))

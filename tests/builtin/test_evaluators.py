"""Evaluators compared with slow reference implementations."""

import copy
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

import ssl_host
from ssl_host import FeatureBank, Features
from ssl_host.builtin.evaluators import linear
from ssl_host.builtin.evaluators.few_label import draw_labelled, fit_logistic
from ssl_host.builtin.evaluators.label_fraction import select_labelled_fraction


def bank(train=240, test=120, dim=12, classes=6, noise=1.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=generator)
    y, yt = torch.arange(train) % classes, torch.arange(test) % classes
    x = centres[y] + noise * torch.randn(train, dim, generator=generator)
    xt = centres[yt] + noise * torch.randn(test, dim, generator=generator)
    return FeatureBank(Features(x, y), Features(xt, yt), classes, seed)


@pytest.mark.parametrize("k", [1, 7, 20])
def test_knn_equals_a_loop_over_all_pairs(k):
    b = bank()
    votes = torch.zeros(len(b.test.x), b.num_classes)
    for i, query in enumerate(b.test.x):
        scores = [
            (float(functional.cosine_similarity(query, key, dim=0)), int(label))
            for key, label in zip(b.train.x, b.train.y, strict=True)
        ]
        for score, label in sorted(scores, reverse=True)[:k]:
            votes[i, label] += math.exp(score / 0.07)
    found = ssl_host.build("evaluator", "knn", k=k, block=50).evaluate(b).metrics
    assert found["top1"] == float((votes.argmax(dim=1) == b.test.y).double().mean())
    top5 = (votes.topk(5).indices == b.test.y[:, None]).any(dim=1).double().mean()
    assert found["top5"] == pytest.approx(float(top5), abs=0.05)  # ties among classes without votes


def test_knn_uses_20_neighbours_for_small_sets_and_200_for_large_ones():
    small, large = bank(train=240), bank(train=600, classes=6)
    knn = ssl_host.build("evaluator", "knn")
    for b, k in ((small, 20), (large, 200)):
        assert knn.evaluate(b) == ssl_host.build("evaluator", "knn", k=k).evaluate(b)


def test_logistic_regression_equals_scikit_learn():
    b = bank(train=60)
    logits = fit_logistic(b.train.x[None], b.train.y[None], 6, b.test.x)[0]
    theirs = LogisticRegression(C=1.0, max_iter=5000, tol=1e-9)
    theirs.fit(b.train.x.double().numpy(), b.train.y.numpy())
    expected = torch.from_numpy(theirs.predict_proba(b.test.x.double().numpy()))
    assert (logits.softmax(dim=1) - expected).abs().max() < 1e-4


def test_few_label_draws_are_balanced_and_the_same_in_every_run():
    b = bank()
    chosen = draw_labelled(b.train.y, 6, 5, 10)
    assert chosen.shape == (10, 30)
    for rows in chosen:
        assert torch.equal(torch.bincount(b.train.y[rows]), torch.full((6,), 5))
        assert len(rows.unique()) == 30
    assert torch.equal(chosen, draw_labelled(b.train.y, 6, 5, 10))
    few = ssl_host.build("evaluator", "few_label")
    assert few.evaluate(b).metrics == few.evaluate(replace(b, seed=9)).metrics
    assert set(few.evaluate(b).metrics) == {
        f"{n}.{what}"
        for n in (1, 5, 10)
        for what in ("top1", "top1_std", "balanced_accuracy", "macro_f1")
    }


def test_few_label_with_too_few_images_per_class_skips_with_a_note():
    found = ssl_host.build("evaluator", "few_label").evaluate(bank(train=36))
    assert "10.top1" not in found.metrics
    assert "few_label.10" in found.notes[0]
    assert "6" in found.notes[0]


def test_linear_probe_learns_separable_classes():
    found = ssl_host.build("evaluator", "linear", epochs=30).evaluate(bank(noise=0.3))
    assert found.metrics["top1"] > 0.98
    assert found.metrics["top5"] >= found.metrics["top1"]
    weights = found.artifacts["linear"]
    b = bank(noise=0.3)
    logits = b.test.x @ weights["weight"].T + weights["bias"]
    right = (logits.argmax(dim=1) == b.test.y).double().mean()
    assert float(right) == pytest.approx(found.metrics["top1"])


def test_linear_probe_selects_nothing_on_the_test_split():
    """The rate and the weights do not depend on the test images and labels."""
    b = bank()
    other = replace(b, test=Features(torch.randn(50, 12), torch.zeros(50, dtype=torch.int64)))
    probe = ssl_host.build("evaluator", "linear", epochs=5)
    first, second = probe.evaluate(b), probe.evaluate(other)
    assert first.metrics["learning_rate"] == second.metrics["learning_rate"]
    for name in ("weight", "bias"):
        assert torch.equal(first.artifacts["linear"][name], second.artifacts["linear"][name])


def test_linear_probe_selects_the_same_rate_in_blocks(monkeypatch):
    build = partial(ssl_host.build, "evaluator", "linear", epochs=30, validation_fraction=0.5)
    b = replace(bank(), seed=1)  # with seed 0 the centres are the initial weights of the heads
    rates = (1e-6, 0.01, 0.1, 1.0)
    chosen = build(learning_rates=rates).evaluate(b).metrics["learning_rate"]
    monkeypatch.setattr(linear, "ROW_BLOCK", 7)
    assert build(learning_rates=rates).evaluate(b).metrics["learning_rate"] == chosen
    assert chosen > 1e-6


def test_heads_of_a_sweep_equal_heads_trained_alone():
    """There is no shared clipping and no shared norm."""
    b = bank()
    probe = ssl_host.build("evaluator", "linear", epochs=3)
    rows = torch.arange(len(b.train.y))

    def features(index, _):
        return b.train.x[index]

    together = probe._train(features, rows, (0.001, 0.01, 0.1), b)
    for i, rate in enumerate((0.001, 0.01, 0.1)):
        alone = probe._train(features, rows, (rate,), b)
        assert torch.allclose(together.weights[i], alone.weights[0], rtol=1e-4, atol=1e-6)


def test_rankme_is_the_exponential_of_the_entropy_of_singular_values():
    x = torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0]))
    share = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64) + 1e-7
    expected = math.exp(float(-(share * share.log()).sum()))
    b = FeatureBank(Features(x), None)
    assert ssl_host.build("evaluator", "rankme").evaluate(b).metrics[""] == pytest.approx(expected)
    collapsed = FeatureBank(Features(torch.ones(50, 8)), None)
    assert ssl_host.build("evaluator", "rankme").evaluate(collapsed).metrics[""] < 1.01


def test_rankme_uses_images_from_the_whole_set():
    """Image folders are sorted by class, so the first images are not representative."""
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.ones(50, 8), torch.randn(50, 8, generator=generator)])
    rankme = ssl_host.build("evaluator", "rankme", max_images=40)
    assert rankme.evaluate(FeatureBank(Features(x, None), None, 0)).metrics[""] > 4


def test_alignment_and_uniformity_equal_their_definitions():
    a, c = (functional.normalize(torch.randn(9, 5, dtype=torch.float64), dim=1) for _ in range(2))
    alignment = sum(float((x - y).norm() ** 2) for x, y in zip(a, c, strict=True)) / 9
    pairs = [float((a[i] - a[j]).norm() ** 2) for i in range(9) for j in range(i)]
    uniformity = math.log(sum(math.exp(-2 * d) for d in pairs) / len(pairs))
    b = FeatureBank(Features(a), None, view_pairs=lambda: (3 * a, c))
    found = ssl_host.build("evaluator", "alignment_uniformity").evaluate(b).metrics
    assert found["alignment"] == pytest.approx(alignment)
    assert found["uniformity"] == pytest.approx(uniformity)


def test_linear_probe_in_augmented_mode_uses_new_crops_in_every_epoch():
    images = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8)
    y = torch.arange(60) % 3
    images[torch.arange(60), y] = 255
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    network.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))
    seen = []

    def augment(batch, index, epoch):
        seen.append((epoch, sorted(index.tolist())))
        return batch.float() / 255 + 0.01 * epoch

    x = network(images.float() / 255)
    b = FeatureBank(
        Features(x, y),
        Features(x, y),
        3,
        encoder=lambda: network,
        train_images=images,
        train_transform=augment,
    )
    probe = ssl_host.build(
        "evaluator", "linear", mode="augmented", epochs=4, learning_rates=(0.5,), batch_size=30
    )
    assert probe.evaluate(b).metrics["top1"] > 0.9
    assert [epoch for epoch, _ in seen] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(seen[0][1] + seen[1][1]) == list(range(60))


@pytest.mark.parametrize("optimizer", ["lamb", "sgd"])
def test_linear_probe_learns_with_each_optimizer(optimizer):
    rates = (0.01,) if optimizer == "lamb" else (0.5,)
    probe = ssl_host.build(
        "evaluator", "linear", optimizer=optimizer, learning_rates=rates, epochs=30
    )
    assert probe.evaluate(bank(noise=0.3)).metrics["top1"] > 0.95


def image_bank(count=80):
    """Return images with a bright channel per class and a network that can learn them."""
    torch.manual_seed(0)
    images = torch.randint(0, 128, (count, 3, 8, 8), dtype=torch.uint8)
    y = torch.arange(count) % 3
    images[torch.arange(count), y] += 100
    network = ssl_host.build(
        "backbone", "small_conv", in_channels=3, image_size=8, width=8, num_stages=2
    )
    x = network(images.float() / 255).detach()
    return FeatureBank(
        Features(x, y),
        Features(x[:30], y[:30]),
        3,
        encoder=lambda: copy.deepcopy(network),
        train_images=images,
        test_images=images[:30],
        eval_transform=lambda batch: batch.float() / 255,
        train_transform=lambda batch, index, epoch: batch.float() / 255,
    )


def test_fine_tuning_trains_the_network_but_not_the_original():
    b = image_bank()
    before = {k: v.clone() for k, v in b.encoder().state_dict().items()}
    found = ssl_host.build("evaluator", "finetune", epochs=12, batch_size=16).evaluate(b)
    assert found.metrics["top1"] > 0.95
    assert all(torch.equal(v, before[k]) for k, v in b.encoder().state_dict().items())
    still = ssl_host.build("evaluator", "finetune", epochs=12, batch_size=16, lr=1e-12)
    assert still.evaluate(b).metrics["top1"] <= found.metrics["top1"]


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 1.0])
def test_labelled_fraction_is_balanced_and_the_same_in_every_run(fraction):
    labels = torch.arange(300) % 3
    rows = select_labelled_fraction(labels, fraction)
    assert torch.bincount(labels[rows]).tolist() == [round(100 * fraction)] * 3
    assert len(rows.unique()) == len(rows)
    torch.manual_seed(3)
    assert torch.equal(rows, select_labelled_fraction(labels, fraction))


def test_labelled_fraction_keeps_one_label_of_every_class():
    labels = torch.tensor([0] * 50 + [1] * 3)
    assert torch.bincount(labels[select_labelled_fraction(labels, 0.01)]).tolist() == [1, 1]


def test_linear_probe_reads_only_its_fraction_of_labels(monkeypatch):
    b = bank(train=600)
    rows = select_labelled_fraction(b.train.y, 0.1)
    spoiled = torch.zeros_like(b.train.y)
    spoiled[rows] = b.train.y[rows]
    probe = ssl_host.build("evaluator", "linear", label_fraction=0.1, epochs=3)
    other = replace(b, train=Features(b.train.x, spoiled))
    # The draw itself depends on the labels, so it is fixed here.
    monkeypatch.setattr(linear, "select_labelled_fraction", lambda labels, fraction: rows)
    first, second = probe.evaluate(b), probe.evaluate(other)
    assert first.metrics == second.metrics
    assert torch.equal(first.artifacts["linear"]["weight"], second.artifacts["linear"]["weight"])

"""The evaluators on features with known results, and against independent implementations."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from torchmetrics.functional.retrieval import retrieval_average_precision

import ssl_host
from ssl_host import FeatureBank, Features


def features(count, classes, dim, noise, seed):
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(9))
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    return Features(centres[y] + noise * torch.randn(count, dim, generator=generator), y)


def bank(noise=1.0, train=200, test=90, classes=5, dim=16):
    parts = features(train, classes, dim, noise, 0), features(test, classes, dim, noise, 1)
    return FeatureBank(*parts, classes)


def perfect():
    return bank(noise=1e-3)


def collapsed():
    b = bank()
    return FeatureBank(
        Features(torch.ones_like(b.train.x), b.train.y),
        Features(torch.ones_like(b.test.x), b.test.y),
        b.num_classes,
    )


def evaluate(name, b, **settings):
    return ssl_host.build("evaluator", name, **settings).evaluate(b).metrics


def test_clusters_of_perfect_and_collapsed_features():
    assert evaluate("clustering", perfect()) == pytest.approx({"nmi": 1, "ari": 1, "accuracy": 1})
    assert evaluate("clustering", collapsed()) == pytest.approx(
        {"nmi": 0, "ari": 0, "accuracy": 1 / 5}
    )


def test_cluster_accuracy_is_that_of_the_best_permutation():
    """More clusters than classes, so that one class has none."""
    b = bank(noise=1.2)
    x = torch.nn.functional.normalize(b.train.x.double(), dim=1).numpy()
    test = torch.nn.functional.normalize(b.test.x.double(), dim=1).numpy()
    clusters = KMeans(6, n_init=10, random_state=0).fit(x).predict(test)
    best = max(
        sum(classes[c] == y for c, y in zip(clusters, b.test.y.tolist(), strict=True))
        for classes in itertools.permutations([*range(5), -1])
    )
    found = evaluate("clustering", b, num_clusters=6)
    assert found["accuracy"] == pytest.approx(best / len(b.test.y))
    assert 0.2 < found["accuracy"] < 1


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_average_precision_equals_torchmetrics(noise):
    b = bank(noise=noise)
    similarity = torch.nn.functional.cosine_similarity(b.test.x[:, None], b.train.x[None], dim=2)
    expected = [
        float(retrieval_average_precision(row + 2, b.train.y == label))  # it ignores scores <= 0
        for row, label in zip(similarity, b.test.y, strict=True)
    ]
    found = evaluate("retrieval", b, block=40)
    assert found["map"] == pytest.approx(np.mean(expected), abs=1e-6)
    for k in (1, 5, 10):
        nearest = b.train.y[similarity.topk(k, dim=1).indices]
        hits = (nearest == b.test.y[:, None]).any(dim=1).double().mean()
        assert found[f"recall.{k}"] == pytest.approx(float(hits))


def test_retrieval_of_perfect_features_and_of_a_class_without_training_images():
    assert set(evaluate("retrieval", perfect()).values()) == {1.0}
    b = perfect()
    kept = b.train.y != 4
    partial = FeatureBank(Features(b.train.x[kept], b.train.y[kept]), b.test, 5)
    evaluation = ssl_host.build("evaluator", "retrieval").evaluate(partial)
    assert set(evaluation.metrics.values()) == {1.0}
    assert "18 queries" in evaluation.notes[0]


def test_logistic_regression_with_one_c_equals_scikit_learn():
    b = bank(noise=2.0, test=88)  # classes of 18 and 17 images
    scaler = StandardScaler().fit(b.train.x.numpy())
    theirs = LogisticRegression(C=0.1, max_iter=500)
    theirs.fit(scaler.transform(b.train.x.numpy()), b.train.y.numpy())
    predicted, labels = theirs.predict(scaler.transform(b.test.x.numpy())), b.test.y.numpy()
    expected = {
        "top1": theirs.score(scaler.transform(b.test.x.numpy()), labels),
        "balanced_accuracy": np.mean([np.mean(predicted[labels == c] == c) for c in range(5)]),
        "macro_f1": f1_score(labels, predicted, average="macro"),
        "C": 0.1,
    }
    assert evaluate("logistic", b, smallest_c=0.1, num_c=1) == pytest.approx(expected, abs=1e-6)


def test_c_is_chosen_where_it_matters():
    """With much noise a strong penalty is better; labels of held-out images are not used."""
    b = bank(noise=4.0, train=60, dim=120)
    evaluation = ssl_host.build("evaluator", "logistic", smallest_c=1e-5).evaluate(b)
    assert evaluation.metrics["C"] < 1
    shuffled = FeatureBank(b.train, Features(b.test.x, b.test.y.flip(0)), 5)
    assert evaluate("logistic", shuffled, smallest_c=1e-5)["C"] == evaluation.metrics["C"]


def test_logistic_regression_that_does_not_converge_has_a_note():
    evaluation = ssl_host.build("evaluator", "logistic", max_iterations=1).evaluate(bank())
    assert any("not converged" in note for note in evaluation.notes)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_exponent_of_a_power_law(alpha):
    dim = 64
    values = torch.arange(1, dim + 1, dtype=torch.float64) ** -alpha
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(200, dim, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(basis - basis.mean(dim=0)).Q  # orthonormal columns of mean 0
    b = FeatureBank(Features(basis * values.sqrt()), None)
    assert evaluate("alpha_req", b)[""] == pytest.approx(alpha, abs=1e-6)


def test_exponent_is_a_weighted_least_squares_of_the_authors_range():
    x = torch.randn(300, 130, generator=torch.Generator().manual_seed(0)) * torch.rand(130)
    values = np.sort(np.linalg.eigvalsh(np.cov(x.double().numpy().T)))[::-1]
    index = np.arange(4, 101)
    slope = np.polyfit(np.log(index), np.log(values[3:100]), 1, w=index**-0.5)[0]
    assert evaluate("alpha_req", FeatureBank(Features(x), None))[""] == pytest.approx(-slope)


def test_collapsed_features_have_no_exponent():
    evaluation = ssl_host.build("evaluator", "alpha_req").evaluate(collapsed())
    assert not evaluation.metrics
    assert "eigenvalues" in evaluation.notes[0]


def test_all_run_with_a_method(ssl_host_command, tmp_path):
    (tmp_path / "c.ini").write_text(
        "[run]\nepochs = 1\nname = r\nbatch_size = 16\n[method]\nname = simclr\n[data]\n"
        "name = synthetic\nnum_images = 64\nimage_size = 16\n[backbone]\nname = small_conv\n"
        "[head.projector]\nhidden_dim = 8\noutput_dim = 4\n"
        "[evaluator.clustering]\n[evaluator.logistic]\n[evaluator.retrieval]\n"
        "[evaluator.alpha_req]\n[evaluator.lidar]\nnum_images = 20\nnum_views = 3\n"
        "[evaluator.attentive]\nepochs = 2\n[evaluator.linear_grid]\nepochs = 2\n"
        "[evaluator.robustness]\ncorruptions = ['fog', 'contrast']\n",
        encoding="utf-8",
    )
    done = ssl_host_command("run", "c.ini")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "runs" / "r" / "results.json").read_text("utf-8"))["metrics"]
    names = ("clustering.nmi", "logistic.top1", "retrieval.map", "attentive.top1")
    for name in (*names, "linear_grid.top1", "robustness.corrupted"):
        assert 0 <= metrics[name] <= 1
        assert f"random_init.{name}" in metrics
    assert "pixels.attentive.top1" not in metrics
    assert math.isfinite(metrics["alpha_req"])
    assert metrics["lidar"] >= 1

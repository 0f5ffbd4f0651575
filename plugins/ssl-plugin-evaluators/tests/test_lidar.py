"""LiDAR on features with known results, and against a generalised eigenvalue problem."""

import numpy as np
import pytest
import scipy.linalg
import torch
from ssl_plugin_evaluators.lidar import lidar
from torch import nn

import ssl_host
from ssl_host import FeatureBank, Features


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "q", "dim"), [(60, 7, 12), (9, 5, 20)])
def test_lidar_equals_a_generalised_eigenvalue_problem(n, q, dim):
    """With fewer images than dimensions too."""
    features = randn(n, 1, dim) * torch.rand(dim) + 0.3 * randn(n, q, dim, seed=1)
    x = features.numpy()
    means = x.mean(axis=1)
    between = np.cov(means.T, bias=True)
    within = sum(np.outer(a, a) for a in (x - means[:, None]).reshape(-1, dim)) / (n * q)
    values = scipy.linalg.eigh(between, within + 1e-3 * np.eye(dim), eigvals_only=True)
    shares = values.clip(min=0) / values.clip(min=0).sum() + 1e-7
    shares = np.sort(shares)[::-1][: min(n, dim)]
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert lidar(features, 1e-3) == pytest.approx(expected, abs=1e-6)


def test_lidar_of_perfect_random_and_collapsed_features():
    """Directions without noise all count, noise alone is a full rank too, a constant has rank 1."""
    directions = torch.cat([torch.eye(8), -torch.eye(8)]).double()[:, None]
    assert lidar(directions.expand(16, 5, 8)) == pytest.approx(8, abs=1e-4)
    assert lidar(directions[:1].expand(16, 5, 8)) == pytest.approx(1, abs=1e-4)
    line = torch.arange(16).double()[:, None, None] * directions[:1] + 0.1 * randn(16, 50, 8)
    assert lidar(line) == pytest.approx(1, abs=0.1)
    assert lidar(randn(2000, 20, 8)) == pytest.approx(8, abs=0.2)


class Flatten(nn.Module):
    def forward(self, images):
        return images.flatten(1)


def test_views_are_those_of_different_epochs():
    images = torch.randint(0, 256, (40, 1, 2, 2), dtype=torch.uint8)
    seen = []

    def transform(batch, index, epoch):
        assert torch.equal(batch, images[index])
        seen.append((epoch, index.tolist()))
        noise = [randn(1, 2, 2, seed=int(i) + 100 * epoch) for i in index]
        return batch / 255 + torch.stack(noise)

    b = FeatureBank(
        Features(images.flatten(1).float()),
        None,
        encoder=Flatten,
        train_images=images,
        eval_transform=lambda x: x / 255,
        train_transform=transform,
    )
    settings = {"num_images": 20, "num_views": 3, "delta": 0.01}
    found = ssl_host.build("evaluator", "lidar", **settings).evaluate(b).metrics
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    rows = torch.tensor(seen[0][1])
    assert len(rows.unique()) == 20
    assert rows.max() > 30
    views = torch.stack([transform(images[rows], rows, epoch).flatten(1) for epoch in range(3)], 1)
    assert found[""] == pytest.approx(lidar(views, 0.01), abs=1e-6)


def test_without_images_lidar_is_skipped_with_a_note():
    b = FeatureBank(Features(randn(5, 3)), None)
    evaluation = ssl_host.build("evaluator", "lidar").evaluate(b)
    assert not evaluation.metrics
    assert "skipped" in evaluation.notes[0]

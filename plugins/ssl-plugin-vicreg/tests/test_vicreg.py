"""The losses of VICReg and VIbCReg against independent sums over numbers, at float64."""

import lightly.loss
import pytest
import torch

import ssl_host
from ssl_host import Batch
from ssl_host.testing import assert_matches_reference


def columns_and_covariance(z):
    centred = z - z.sum(dim=0) / len(z)
    return centred, [
        [(centred[:, i] * centred[:, j]).sum() / (len(z) - 1) for j in range(z.shape[1])]
        for i in range(z.shape[1])
    ]


def vicreg(z1, z2, invariance=25.0, variance=25.0, covariance=1.0):
    """Return equation 6, with the hinge halved as in the authors' code."""
    width = z1.shape[1]
    total = invariance * ((z1 - z2) ** 2).sum() / z1.numel()
    for z in (z1, z2):
        _, entries = columns_and_covariance(z)
        for i in range(width):
            hinge = torch.clamp(1 - torch.sqrt(entries[i][i] + 1e-4), min=0)
            total = total + variance * hinge / width / 2
            for j in range(width):
                if i != j:
                    total = total + covariance * entries[i][j] ** 2 / width
    return total


def vibcreg(z1, z2):
    """Return solo-learn's loss: correlations, their mean over D² entries, the whole hinge."""
    width = z1.shape[1]
    total = 25 * ((z1 - z2) ** 2).sum() / z1.numel()
    for z in (z1, z2):
        centred, entries = columns_and_covariance(z)
        for i in range(width):
            hinge = torch.clamp(1 - torch.sqrt(entries[i][i] + 1e-4), min=0)
            total = total + 25 * hinge / width
            for j in range(width):
                if i != j:
                    a, b = centred[:, i], centred[:, j]
                    correlation = (a @ b) / (a.norm() * b.norm())
                    total = total + 200 * correlation**2 / width**2
    return total


@pytest.mark.parametrize(("name", "reference"), [("vicreg", vicreg), ("vibcreg", vibcreg)])
@pytest.mark.parametrize("count", [2, 7])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_loss_equals_the_equations(name, reference, count, scale):
    """On both sides of the hinge: standard deviations below and above 1."""
    z1, z2 = (
        (scale * torch.randn(count, 5, dtype=torch.float64)).requires_grad_() for _ in range(2)
    )
    assert_matches_reference(ssl_host.build("loss", name)(z1, z2), reference(z1, z2), [z1, z2])


def test_vicreg_loss_equals_lightlys():
    z1, z2 = (torch.randn(9, 6, dtype=torch.float64).requires_grad_() for _ in range(2))
    theirs = lightly.loss.VICRegLoss().double()(z1, z2)
    assert_matches_reference(ssl_host.build("loss", "vicreg")(z1, z2), theirs, [z1, z2], 1e-6)


@pytest.mark.parametrize(("name", "reference"), [("vicreg", vicreg), ("vibcreg", vibcreg)])
def test_step_equals_the_equations(name, reference, method_case):
    case = method_case(name)
    method = case.fresh()
    batch = case.batch(6)
    z1, z2 = (method.projector(method.backbone(view)) for view in batch.views)
    parameters = [p for _, p in method.trainable_parameters()]
    assert_matches_reference(case.step(method, batch).loss, reference(z1, z2), parameters)


def test_projectors_last_layer_has_no_bias():
    backbone = ssl_host.build("backbone", "small_conv", in_channels=1, image_size=8, width=4)
    head = {"head.projector": {"hidden_dim": 8, "output_dim": 4}}
    method = ssl_host.build("method", "vicreg", backbone=backbone, **head)
    linear = [m for m in method.projector.layers if isinstance(m, torch.nn.Linear)]
    assert [layer.bias for layer in linear] == [None, None, None]
    views = list(torch.randn(2, 3, 1, 8, 8))
    assert torch.isfinite(method.step(Batch(views, torch.arange(3))).loss)


def iter_norm(width, groups, iterations=5):
    settings = {"hidden_dim": 8, "output_dim": width, "num_groups": groups}
    head = ssl_host.build("head", "whitened_mlp", in_dim=6, num_iterations=iterations, **settings)
    return head.layers[-1].double()


def test_whitening_decorrelates_each_group():
    rows = torch.randn(200, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64)
    out = iter_norm(6, 2, iterations=15)(rows + 3)
    for group in out.split(3, dim=1):
        covariance = group.T.cov(correction=0)
        assert torch.allclose(covariance, torch.eye(3, dtype=torch.float64), atol=1e-2)
    assert torch.allclose(out.mean(dim=0), torch.zeros(6).double(), atol=1e-9)


def test_whitening_converges_to_the_inverse_root():
    """Compared with the root of the covariance's eigenvalues."""
    rows = torch.randn(50, 4, dtype=torch.float64) * torch.tensor([1.0, 2.0, 0.5, 1.0])
    centred = rows - rows.mean(dim=0)
    identity = torch.eye(4, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(centred.T @ centred / 50 + 1e-5 * identity)
    expected = centred @ vectors @ values.rsqrt().diag() @ vectors.T
    assert torch.allclose(iter_norm(4, 1, iterations=12)(rows), expected, atol=1e-6)


def test_whitening_in_evaluation_uses_running_averages():
    norm, rows = iter_norm(4, 2), torch.randn(50, 4, dtype=torch.float64)
    for _ in range(200):
        trained = norm(rows)
    assert torch.allclose(norm.eval()(rows), trained, atol=1e-6)


def test_number_of_groups_is_reduced_until_it_divides_the_width():
    assert [iter_norm(width, 64).num_groups for width in (2048, 96, 10)] == [64, 48, 10]

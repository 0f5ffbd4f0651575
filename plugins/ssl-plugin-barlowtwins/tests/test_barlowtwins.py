"""Tests of Barlow Twins' loss and step against the paper's equation 1, at float64."""

import lightly.loss
import pytest
import torch

import ssl_host
from ssl_host import Batch


def reference(z1, z2, weight, scale=1.0):
    """Return equation 1 entry by entry, of embeddings normalised by mean and biased variance."""
    count, dim = z1.shape
    a, b = [
        (z - z.mean(dim=0)) / (((z - z.mean(dim=0)) ** 2).mean(dim=0) + 1e-5).sqrt()
        for z in (z1, z2)
    ]
    total = 0
    for i in range(dim):
        for j in range(dim):
            entry = (a[:, i] * b[:, j]).sum() / count
            total = total + ((1 - entry) ** 2 if i == j else weight * entry**2)
    return scale * total


def assert_equal(loss, expected, tensors):
    """Compare two losses and their gradients."""
    difference = abs(float((loss - expected).detach()))
    assert difference <= 1e-9 * max(1, float(expected.detach()))
    for a, b in zip(
        torch.autograd.grad(loss, tensors, retain_graph=True),
        torch.autograd.grad(expected, tensors, retain_graph=True),
        strict=True,
    ):
        assert (a - b).norm() <= 1e-9 * max(1, float(b.norm()))


@pytest.mark.parametrize(("count", "dim"), [(2, 3), (7, 5), (33, 8)])
@pytest.mark.parametrize(("weight", "scale"), [(0.0051, 1.0), (0.02, 0.1)])
def test_loss_equals_equation_1(count, dim, weight, scale):
    z1, z2 = (torch.randn(count, dim, dtype=torch.float64).requires_grad_() for _ in range(2))
    loss = ssl_host.build("loss", "barlow_twins", lambda_=weight, scale=scale)(z1, z2)
    assert_equal(loss, reference(z1, z2, weight, scale), [z1, z2])


def test_loss_equals_lightlys():
    z1, z2 = (torch.randn(9, 6, dtype=torch.float64).requires_grad_() for _ in range(2))
    theirs = lightly.loss.BarlowTwinsLoss(lambda_param=0.0051).double()(z1, z2)
    ours = ssl_host.build("loss", "barlow_twins", lambda_=0.0051)(z1, z2)
    assert abs(float(theirs - ours)) < 1e-3 * float(ours)  # their variance has another epsilon


def method():
    torch.manual_seed(0)
    backbone = ssl_host.build(
        "backbone", "small_conv", in_channels=1, image_size=8, width=4, num_stages=2
    )
    head = {"hidden_dim": 12, "output_dim": 7}
    sections = {"head.projector": head}
    return ssl_host.build("method", "barlowtwins", backbone=backbone, **sections).double()


@pytest.mark.parametrize("count", [2, 5, 9])
def test_step_equals_equation_1(count):
    barlow = method()
    views = list(torch.randn(2, count, 1, 8, 8, dtype=torch.float64))
    out = barlow.step(Batch(views, torch.arange(count)))
    z1, z2 = (barlow.projector(barlow.backbone(view)) for view in views)
    assert_equal(out.loss, reference(z1, z2, 0.0051), [p for _, p in barlow.trainable_parameters()])


def test_projector_has_no_biases():
    linear = [m for m in method().projector.layers if isinstance(m, torch.nn.Linear)]
    assert len(linear) == 3
    assert all(layer.bias is None for layer in linear)


def test_biases_and_norms_have_a_separate_lr_and_no_weight_decay():
    """The learning rates for 256 images are 0.0048 and, for weights, 0.2."""
    groups = {g.name: g for g in method().param_groups()}
    assert 0.2 * groups["biases"].lr_scale == pytest.approx(0.0048)
    assert groups["biases"].weight_decay == 0.0
    assert all(p.ndim == 1 for _, p in groups["biases"].params)
    assert all(p.ndim > 1 for _, p in groups["weights"].params)

"""Tests of SimCLR's step against the paper's algorithm 1, at float64."""

import pytest
import torch

import ssl_host
from ssl_host import Batch


def method(**settings):
    torch.manual_seed(0)
    backbone = ssl_host.build(
        "backbone", "small_conv", in_channels=1, image_size=8, width=4, num_stages=2
    )
    head = {"hidden_dim": 12, "output_dim": 6}
    return ssl_host.build(
        "method", "simclr", backbone=backbone, **{"head.projector": head}, **settings
    ).double()


@pytest.mark.parametrize("count", [2, 5, 9])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_step_equals_algorithm_1(count, temperature):
    simclr = method(loss={"temperature": temperature})
    views = list(torch.randn(2, count, 1, 8, 8, dtype=torch.float64))
    out = simclr.step(Batch(views, torch.arange(count)))
    z = [simclr.projector(simclr.backbone(view)) for view in views]
    u = [
        v / v.norm() for pair in zip(*z, strict=True) for v in pair
    ]  # rows 2k and 2k + 1 are a pair
    total = 0
    for i, anchor in enumerate(u):
        j = i + 1 if i % 2 == 0 else i - 1
        others = sum((anchor @ u[k] / temperature).exp() for k in range(2 * count) if k != i)
        total = total - ((anchor @ u[j] / temperature).exp() / others).log()
    reference = total / (2 * count)
    assert abs(float(out.loss - reference)) <= 1e-9 * max(1, float(reference))
    parameters = [p for _, p in simclr.trainable_parameters()]
    for a, b in zip(
        torch.autograd.grad(out.loss, parameters),
        torch.autograd.grad(reference, parameters),
        strict=True,
    ):
        assert (a - b).norm() <= 1e-9 * max(1, float(b.norm()))


def test_default_head_is_that_of_the_official_code():
    kinds = [type(layer).__name__ for layer in method().projector.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]

"""Tests of SimSiam's step against the paper's algorithm 1, at float64."""

import pytest
import torch

import ssl_host
from ssl_host import Batch


def method(**settings):
    torch.manual_seed(0)
    backbone = ssl_host.build(
        "backbone", "small_conv", in_channels=1, image_size=8, width=4, num_stages=2
    )
    heads = {
        "head.projector": {"hidden_dim": 12, "output_dim": 10},
        "head.predictor": {"hidden_dim": 5},
    }
    return ssl_host.build("method", "simsiam", backbone=backbone, **heads, **settings).double()


@pytest.mark.parametrize("count", [2, 5, 9])
def test_step_equals_algorithm_1(count):
    simsiam = method()
    views = list(torch.randn(2, count, 1, 8, 8, dtype=torch.float64))
    out = simsiam.step(Batch(views, torch.arange(count)))
    z = [simsiam.projector(simsiam.backbone(view)) for view in views]
    p = [simsiam.predictor(each) for each in z]

    def distance(a, b):
        b = b.detach()
        return -sum((x / x.norm()) @ (y / y.norm()) for x, y in zip(a, b, strict=True)) / count

    reference = distance(p[0], z[1]) / 2 + distance(p[1], z[0]) / 2
    assert abs(float(out.loss - reference)) <= 1e-9
    parameters = [q for _, q in simsiam.trainable_parameters()]
    for a, b in zip(
        torch.autograd.grad(out.loss, parameters),
        torch.autograd.grad(reference, parameters),
        strict=True,
    ):
        assert (a - b).norm() <= 1e-9 * max(1, float(b.norm()))


def test_default_heads_are_those_of_the_official_code():
    simsiam = method()
    kinds = [type(layer).__name__ for layer in simsiam.projector.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "BatchNorm1d"]
    assert simsiam.projector.layers[-1].weight is None
    kinds = [type(layer).__name__ for layer in simsiam.predictor.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert simsiam.predictor.layers[-1].bias is not None


@pytest.mark.parametrize(("is_fixed", "schedule"), [(True, "constant"), (False, "scheduler")])
def test_fix_predictor_lr_sets_schedule_of_predictor(is_fixed, schedule):
    groups = {g.name: g for g in method(fix_predictor_lr=is_fixed).param_groups()}
    assert groups["predictor"].schedule == schedule
    assert groups["encoder"].schedule == "scheduler"
    assert all(name.startswith("predictor") for name, _ in groups["predictor"].params)

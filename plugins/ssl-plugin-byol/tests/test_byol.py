"""Tests of BYOL's step against the paper's equations 2 and 3, at float64."""

import copy
import math

import pytest
import torch

import ssl_host
from ssl_host import Batch


def method(ema_decay=0.99):
    torch.manual_seed(0)
    backbone = ssl_host.build(
        "backbone", "small_conv", in_channels=1, image_size=8, width=4, num_stages=2
    )
    heads = {
        "head.projector": {"hidden_dim": 12, "output_dim": 6},
        "head.predictor": {"hidden_dim": 9},
    }
    return ssl_host.build(
        "method", "byol", backbone=backbone, ema_decay=ema_decay, **heads
    ).double()


def views(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(2, count, 1, 8, 8, dtype=torch.float64, generator=generator))


def reference(byol, target_backbone, target_projector, pair):
    """Return 2 − 2 cos summed over both directions, with targets that have no gradient."""
    total = 0
    for a, b in (pair, pair[::-1]):
        q = byol.predictor(byol.projector(byol.backbone(a)))
        with torch.no_grad():
            z = target_projector(target_backbone(b))
        cosines = [(x / x.norm()) @ (y / y.norm()) for x, y in zip(q, z, strict=True)]
        total = total + 2 - 2 * sum(cosines) / len(a)
    return total


@pytest.mark.parametrize("count", [2, 5, 9])
def test_three_steps_equal_equations_2_and_3(count):
    """Loss, gradients and EMA networks equal those of a reference implementation."""
    byol = method()
    backbone, projector = copy.deepcopy(byol.backbone), copy.deepcopy(byol.projector)
    parameters = [p for _, p in byol.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for step in range(3):
        pair = views(count, step)
        out = byol.step(Batch(pair, torch.arange(count)))
        expected = reference(byol, backbone, projector, pair)
        assert abs(float(out.loss - expected)) <= 1e-9
        gradients = torch.autograd.grad(out.loss, parameters)
        expected_gradients = torch.autograd.grad(expected, parameters)
        for a, b in zip(gradients, expected_gradients, strict=True):
            assert (a - b).norm() <= 1e-9 * max(1, float(b.norm()))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        byol.finish_step(out, step, 3)
        ema_decay = 1 - (1 - 0.99) * (math.cos(math.pi * step / 3) + 1) / 2
        for target, online in ((backbone, byol.backbone), (projector, byol.projector)):
            for t, o in zip(target.parameters(), online.parameters(), strict=True):
                t.data = ema_decay * t.data + (1 - ema_decay) * o.data
        for ema, expected_ema in ((byol.ema_backbone, backbone), (byol.ema_projector, projector)):
            for a, b in zip(ema.parameters(), expected_ema.parameters(), strict=True):
                assert (a - b).norm() <= 1e-9 * max(1, float(b.norm()))


def test_ema_decay_is_1_at_the_end():
    byol = method(ema_decay=0.9)
    byol.ema_decay.set_step(100, 100)
    assert float(byol.ema_decay) == 1.0


def test_default_heads_are_those_of_the_paper():
    backbone = ssl_host.build("backbone", "small_conv", in_channels=1, image_size=8, num_stages=1)
    byol = ssl_host.build("method", "byol", backbone=backbone)
    for head in (byol.projector, byol.predictor):
        kinds = [type(layer).__name__ for layer in head.layers]
        assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
        assert (head.layers[0].out_features, head.layers[-1].out_features) == (4096, 256)

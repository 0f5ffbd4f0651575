"""Tests of optimizers and schedulers against steps computed from the formulas."""

import math

import pytest
import torch
from torch import nn

import ssl_host
from ssl_host.train.param_groups import make_optimizer, set_learning_rates


def run_steps(make_optimizer, gradients):
    """Return a weight 2 x 2 and a bias after steps with the gradients."""
    weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64))
    bias = nn.Parameter(torch.tensor([1.0, -1.0], dtype=torch.float64))
    optimizer = make_optimizer([weight, bias])
    for gw, gb in gradients:
        weight.grad = torch.tensor(gw, dtype=torch.float64)
        bias.grad = torch.tensor(gb, dtype=torch.float64)
        optimizer.step()
    return weight.detach(), bias.detach()


GRADIENTS = [([[0.1, 0.2], [-0.3, 0.4]], [0.5, -0.5]), ([[1.0, 0.0], [0.5, -1.0]], [0.1, 0.3])]
WEIGHT = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
BIAS = torch.tensor([1.0, -1.0], dtype=torch.float64)


def tensors():
    return [
        (torch.tensor(gw, dtype=torch.float64), torch.tensor(gb, dtype=torch.float64))
        for gw, gb in GRADIENTS
    ]


@pytest.mark.parametrize("decay_params", ["all", "weights"])
def test_sgd_has_plain_momentum(decay_params):
    lr, wd, m = 0.1, 0.01, 0.9
    weight, bias = run_steps(
        lambda p: ssl_host.build(
            "optimizer", "sgd", params=p, lr=lr, weight_decay=wd, decay_params=decay_params
        ),
        GRADIENTS,
    )
    w, b, vw, vb = WEIGHT.clone(), BIAS.clone(), 0, 0
    for gw, gb in tensors():
        vw = m * vw + gw + wd * w
        vb = m * vb + gb + (wd * b if decay_params == "all" else 0)
        w, b = w - lr * vw, b - lr * vb
    assert torch.allclose(weight, w, rtol=0, atol=1e-12)
    assert torch.allclose(bias, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wd", [1e-2, 0.0])
def test_lars_has_trust_ratio_on_weights_only(wd):
    lr, m, trust = 0.3, 0.9, 0.001
    weight, bias = run_steps(
        lambda p: ssl_host.build("optimizer", "lars", params=p, lr=lr, weight_decay=wd), GRADIENTS
    )
    w, b, vw, vb = WEIGHT.clone(), BIAS.clone(), 0, 0
    for gw, gb in tensors():
        ratio = trust * w.norm() / (gw.norm() + wd * w.norm())
        vw = m * vw + ratio * (gw + wd * w)
        vb = m * vb + gb
        w, b = w - lr * vw, b - lr * vb
    assert torch.allclose(weight, w, rtol=0, atol=1e-9)
    assert torch.allclose(bias, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("trust", [0.001, 0.9])
def test_clipped_lars_uses_the_smaller_of_rate_and_trust_ratio(trust):
    lr, m, wd = 0.3, 0.9, 0.02
    settings = {"lr": lr, "weight_decay": wd, "trust": trust, "clip": True}
    weight, _ = run_steps(
        lambda p: ssl_host.build("optimizer", "lars", params=p, **settings), GRADIENTS
    )
    w, v, rates = WEIGHT.clone(), 0, []
    for g, _ in tensors():
        rates.append(min(lr, float(trust * w.norm() / (g.norm() + wd * w.norm()))))
        v = m * v + rates[-1] / lr * (g + wd * w)
        w = w - lr * v
    assert torch.allclose(weight, w, rtol=0, atol=1e-9)
    assert (max(rates) == lr) == (trust == 0.9)


@pytest.mark.parametrize("wd", [0.02, 0.0])
def test_lamb_equals_the_paper_without_clipping(wd):
    """The norms of the gradients differ, because Adam would hide a common scale."""
    lr, b1, b2, eps = 0.01, 0.9, 0.999, 1e-6
    gradients = [([[30.0, 40.0], [-50.0, 60.0]], [20.0, -10.0]), GRADIENTS[1]]
    weight, _ = run_steps(
        lambda p: ssl_host.build("optimizer", "lamb", params=p, lr=lr, weight_decay=wd), gradients
    )
    w, m, v = WEIGHT.clone(), 0, 0
    for t, (values, _) in enumerate(gradients, 1):
        gradient = torch.tensor(values, dtype=torch.float64)
        m = b1 * m + (1 - b1) * gradient
        v = b2 * v + (1 - b2) * gradient**2
        update = (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + eps) + wd * w
        w = w - lr * w.norm() / update.norm() * update
    assert torch.allclose(weight, w, rtol=0, atol=1e-7)


def test_adamw_decouples_weight_decay():
    lr, wd = 0.01, 0.1
    weight, _ = run_steps(
        lambda p: ssl_host.build("optimizer", "adamw", params=p, lr=lr, weight_decay=wd),
        GRADIENTS[:1],
    )
    gradient = tensors()[0][0]
    expected = WEIGHT * (1 - lr * wd) - lr * gradient / (gradient.abs() + 1e-8)
    assert torch.allclose(weight, expected, rtol=0, atol=1e-9)


def test_base_lr_scales_with_batch_size():
    optimizer = ssl_host.build("optimizer", "sgd", base_lr=0.3)
    assert optimizer.learning_rate(256) == 0.3
    assert optimizer.learning_rate(4096) == pytest.approx(4.8)
    assert ssl_host.build("optimizer", "sgd", lr=0.3).learning_rate(4096) == 0.3


def test_warmup_cosine_factors():
    """Ten of 50 steps are warm-up: step 0 has a tenth, step 9 all, step 30 half of the lr."""
    schedule = ssl_host.build("scheduler", "warmup_cosine", warmup_epochs=2)
    factors = [schedule.factor(step, 50, 5) for step in range(50)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1.0)
    assert factors[10] == pytest.approx(1.0)
    assert factors[30] == pytest.approx(0.5)
    assert factors[49] == pytest.approx((1 + math.cos(math.pi * 39 / 40)) / 2)
    assert max(factors) <= 1.0


def test_warmup_cosine_ends_at_min_factor():
    schedule = ssl_host.build("scheduler", "warmup_cosine", min_factor=0.001)
    assert schedule.factor(1000, 1000, 10) == pytest.approx(0.001)
    assert schedule.factor(0, 1000, 10) == 1.0
    assert schedule.factor(500, 1000, 10) == pytest.approx(0.5005)


def test_set_rates_respects_schedules_of_groups():
    backbone = ssl_host.build("backbone", "small_conv", in_channels=1, image_size=16, num_stages=2)
    method = ssl_host.build("method", "simsiam", backbone=backbone)
    optimizer = make_optimizer(method, ssl_host.build("optimizer", "sgd", lr=1.0), 1.0)
    schedule = ssl_host.build("scheduler", "warmup_cosine")
    set_learning_rates(optimizer, schedule, 50, 100, 10)
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates["encoder"] == pytest.approx(0.5)
    assert rates["predictor"] == 1.0

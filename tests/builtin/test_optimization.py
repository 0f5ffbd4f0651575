"""Optimizers and schedules against steps computed by hand."""

import math

import pytest
import torch
from torch import nn

import ssl_host
from ssl_host.train.param_groups import make_optimizer, set_learning_rates


def two_steps(optimizer_of, gradients):
    """A weight 2 x 2 and a bias, stepped with given gradients."""
    weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64))
    bias = nn.Parameter(torch.tensor([1.0, -1.0], dtype=torch.float64))
    optimizer = optimizer_of([weight, bias])
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


@pytest.mark.parametrize("decay", ["all", "weights"])
def test_sgd_is_plain_momentum_not_nesterovs(decay):
    lr, wd, m = 0.1, 0.01, 0.9
    found = two_steps(
        lambda p: ssl_host.build("optimizer", "sgd", params=p, lr=lr, weight_decay=wd, decay=decay),
        GRADIENTS,
    )
    w, b, vw, vb = WEIGHT.clone(), BIAS.clone(), 0, 0
    for gw, gb in tensors():
        vw = m * vw + gw + wd * w
        vb = m * vb + gb + (wd * b if decay == "all" else 0)
        w, b = w - lr * vw, b - lr * vb
    assert torch.allclose(found[0], w, rtol=0, atol=1e-12)
    assert torch.allclose(found[1], b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wd", [1e-2, 0.0])
def test_lars_has_the_papers_trust_ratio_on_weights_alone(wd):
    """Seen to fail with timm's own rule: without decay it was plain SGD."""
    lr, m, trust = 0.3, 0.9, 0.001
    found = two_steps(
        lambda p: ssl_host.build("optimizer", "lars", params=p, lr=lr, weight_decay=wd), GRADIENTS
    )
    w, b, vw, vb = WEIGHT.clone(), BIAS.clone(), 0, 0
    for gw, gb in tensors():
        ratio = trust * w.norm() / (gw.norm() + wd * w.norm())
        vw = m * vw + ratio * (gw + wd * w)
        vb = m * vb + gb
        w, b = w - lr * vw, b - lr * vb
    assert torch.allclose(found[0], w, rtol=0, atol=1e-9)
    assert torch.allclose(found[1], b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wd", [0.02, 0.0])
def test_lamb_is_the_papers_and_clips_nothing(wd):
    """Seen to fail with timm's clipping at norm 1 (the gradients' norms differ, or Adam would hide
    it), and with its rule that what does not decay has no trust ratio."""
    lr, b1, b2, eps = 0.01, 0.9, 0.999, 1e-6
    big = [([[30.0, 40.0], [-50.0, 60.0]], [20.0, -10.0]), GRADIENTS[1]]
    found = two_steps(
        lambda p: ssl_host.build("optimizer", "lamb", params=p, lr=lr, weight_decay=wd), big
    )
    w, m, v = WEIGHT.clone(), 0, 0
    for t, (given, _) in enumerate(big, 1):
        gradient = torch.tensor(given, dtype=torch.float64)
        m = b1 * m + (1 - b1) * gradient
        v = b2 * v + (1 - b2) * gradient**2
        update = (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + eps) + wd * w
        w = w - lr * w.norm() / update.norm() * update
    assert torch.allclose(found[0], w, rtol=0, atol=1e-7)


def test_adamw_decays_apart_from_the_gradient():
    lr, wd = 0.01, 0.1
    found = two_steps(
        lambda p: ssl_host.build("optimizer", "adamw", params=p, lr=lr, weight_decay=wd),
        GRADIENTS[:1],
    )
    gradient = tensors()[0][0]
    expected = WEIGHT * (1 - lr * wd) - lr * gradient / (gradient.abs() + 1e-8)
    assert torch.allclose(found[0], expected, rtol=0, atol=1e-9)


def test_base_lr_is_for_256_images():
    optimizer = ssl_host.build("optimizer", "sgd", base_lr=0.3)
    assert optimizer.learning_rate(256) == 0.3
    assert optimizer.learning_rate(4096) == pytest.approx(4.8)
    assert ssl_host.build("optimizer", "sgd", lr=0.3).learning_rate(4096) == 0.3


def test_warmup_and_cosine_at_given_steps():
    """Ten warm-up steps of 50: step 0 has a tenth of the rate, step 9 all, step 30 the half."""
    schedule = ssl_host.build("scheduler", "warmup_cosine", warmup_epochs=2)
    factors = [schedule.factor(step, 50, 5) for step in range(50)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1.0)
    assert factors[10] == pytest.approx(1.0)
    assert factors[30] == pytest.approx(0.5)
    assert factors[49] == pytest.approx((1 + math.cos(math.pi * 39 / 40)) / 2)
    assert max(factors) <= 1.0


def test_the_cosine_ends_at_its_smallest_factor():
    schedule = ssl_host.build("scheduler", "warmup_cosine", min_factor=0.001)
    assert schedule.factor(1000, 1000, 10) == pytest.approx(0.001)
    assert schedule.factor(0, 1000, 10) == 1.0
    assert schedule.factor(500, 1000, 10) == pytest.approx(0.5005)


def test_groups_have_their_own_rates():
    backbone = ssl_host.build("backbone", "small_conv", in_channels=1, image_size=16, num_stages=2)
    method = ssl_host.build("method", "simsiam", backbone=backbone)
    optimizer = make_optimizer(method, ssl_host.build("optimizer", "sgd", lr=1.0), 1.0)
    schedule = ssl_host.build("scheduler", "warmup_cosine")
    set_learning_rates(optimizer, schedule, 50, 100, 10)
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates["encoder"] == pytest.approx(0.5)
    assert rates["predictor"] == 1.0

"""Tests of MoCo v2's steps against the paper's algorithm 1, at float64."""

import copy

import pytest
import torch

import ssl_host
from ssl_host import Batch
from ssl_host.testing import assert_matches_reference


def method(**settings):
    torch.manual_seed(0)
    backbone = ssl_host.build(
        "backbone", "small_conv", in_channels=1, image_size=8, width=4, num_stages=2
    )
    head = {"hidden_dim": 12, "output_dim": 6}
    return ssl_host.build(
        "method", "mocov2", backbone=backbone, **{"head.projector": head}, **settings
    ).double()


def views(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(2, count, 1, 8, 8, dtype=torch.float64, generator=generator))


def contrast(queries, keys, queue, temperature):
    total = 0
    for q, k in zip(queries, keys, strict=True):
        q, k = q / q.norm(), k / k.norm()
        positive = (q @ k / temperature).exp()
        negatives = sum((q @ (n / n.norm()) / temperature).exp() for n in queue)
        total = total - (positive / (positive + negatives)).log()
    return total / len(queries)


@pytest.mark.parametrize(("count", "queue_size"), [(2, 9), (5, 9), (12, 7)])
def test_three_steps_equal_algorithm_1(count, queue_size):
    """The key encoder is updated before a step computes its keys, the queue after the step."""
    moco = method(queue_size=queue_size, ema_decay=0.9)
    backbone, projector = copy.deepcopy(moco.backbone), copy.deepcopy(moco.projector)
    queue = list(moco.queue.rows.clone())
    parameters = [p for _, p in moco.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    cursor = 0
    for step in range(3):
        pair = views(count, step)
        out = moco.step(Batch(pair, torch.arange(count)))
        if step:  # the paper updates at the beginning of a step
            for target, online in ((backbone, moco.backbone), (projector, moco.projector)):
                for t, o in zip(target.parameters(), online.parameters(), strict=True):
                    t.data = 0.9 * t.data + 0.1 * o.data
        with torch.no_grad():
            keys = projector(backbone(pair[1]))
        expected = contrast(moco.projector(moco.backbone(pair[0])), keys, queue, 0.2)
        assert abs(float(out.loss - expected)) <= 1e-9 * max(1, float(expected))
        gradients = torch.autograd.grad(out.loss, parameters)
        for a, b in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
            assert (a - b).norm() <= 1e-9 * max(1, float(b.norm()))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        moco.finish_step(out, step, 3)
        for key in keys:
            queue[cursor % queue_size] = key / key.norm()
            cursor += 1
        assert torch.allclose(moco.queue.rows, torch.stack(queue), rtol=0, atol=1e-9)


def test_symmetric_loss_is_the_mean_of_both_directions():
    """Each direction has its own queue, and pushes its keys."""
    moco = method(queue_size=9, symmetric=True)
    first, second = views(4)
    out = moco.step(Batch([first, second], torch.arange(4)))
    q1, q2 = (moco.projector(moco.backbone(view)) for view in (first, second))
    k1, k2 = (moco.ema_projector(moco.ema_backbone(view)) for view in (first, second))
    expected = contrast(q1, k2, moco.queue.rows, 0.2) + contrast(q2, k1, moco.first_queue.rows, 0.2)
    parameters = [p for _, p in moco.trainable_parameters()]
    assert_matches_reference(out.loss, expected / 2, parameters)
    assert not torch.equal(moco.queue.rows, moco.first_queue.rows)
    moco.finish_step(out, 0, 3)
    for queue, keys in ((moco.queue, k2), (moco.first_queue, k1)):
        assert torch.allclose(queue.rows[:4], keys / keys.norm(dim=1, keepdim=True))


def test_loss_is_not_symmetric():
    moco = method(queue_size=9)
    first, second = views(4)
    forward = moco.step(Batch([first, second], torch.arange(4))).loss
    backward = moco.step(Batch([second, first], torch.arange(4))).loss
    assert abs(float(forward - backward)) > 1e-6


def test_bn_splits_have_separate_statistics():
    whole, split = method(queue_size=9), method(queue_size=9, bn_splits=2)
    pair = views(6)
    features = split.step(Batch(pair, torch.arange(6))).features
    halves = torch.cat([whole.backbone(chunk) for chunk in pair[0].chunk(2)])
    assert torch.allclose(features, halves, rtol=0, atol=1e-12)
    assert not torch.allclose(features, whole.backbone(pair[0]))


def test_default_head_queue_and_ema_decay_are_those_of_the_paper():
    backbone = ssl_host.build("backbone", "small_conv", in_channels=1, image_size=8, num_stages=1)
    moco = ssl_host.build("method", "mocov2", backbone=backbone)
    kinds = [type(layer).__name__ for layer in moco.projector.layers]
    assert kinds == ["Linear", "ReLU", "Linear"]
    assert (len(moco.queue), float(moco.ema_decay), moco.loss.config.temperature) == (
        65_536,
        0.999,
        0.2,
    )
    assert not moco.sync_batchnorm


@pytest.mark.parametrize(("processes", "splits", "num_warnings"), [(1, 1, 1), (1, 2, 0), (2, 1, 0)])
def test_config_warnings_if_batch_norm_sees_all_keys(processes, splits, num_warnings):
    backbone = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=16, num_stages=2)
    method = ssl_host.build("method", "mocov2", backbone=backbone, queue_size=8, bn_splits=splits)
    assert len(list(method.config_warnings(processes))) == num_warnings

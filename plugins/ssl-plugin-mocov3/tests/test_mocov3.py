"""MoCo v3's step against algorithm 1 of the paper, at float64."""

import torch


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def contrast(queries, keys, temperature):
    """Return 2τ · cross entropy of each query with its key among all keys."""
    total = 0
    for i, q in enumerate(queries):
        q = q / q.norm()
        logits = torch.stack([q @ (k / k.norm()) for k in keys]) / temperature
        total = total - (logits[i] - logits.exp().sum().log())
    return 2 * temperature * total / len(queries)


def test_two_steps_equal_algorithm_1(method_case):
    case = method_case("mocov3")
    method = case.fresh()
    parameters = [p for _, p in method.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for step in range(2):
        batch = case.batch(5, seed=step)
        a, b = batch.views
        out = case.step(method, batch)
        q1, q2 = (method.predictor(method.projector(method.backbone(v))) for v in (a, b))
        with torch.no_grad():
            k1, k2 = (method.ema_projector(method.ema_backbone(v)) for v in (a, b))
        expected = contrast(q1, k2, 0.2) + contrast(q2, k1, 0.2)
        assert close(out.loss, expected)
        gradients = torch.autograd.grad(out.loss, parameters)
        for x, y in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
            assert close(x, y)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        method.finish_step(out, step, 20)


def test_patch_embedding_is_frozen_unless_told_otherwise(method_case):
    for freeze in (True, False):
        method = method_case("mocov3", freeze_patch_embedding=freeze).fresh()
        trained = [p.requires_grad for p in method.backbone.patch_embedding().parameters()]
        assert set(trained) == {not freeze}


def test_convolutional_network_is_trained_whole(method_case):
    backbone = {"name": "small_conv", "width": 4, "num_stages": 2}
    method = method_case("mocov3", backbone=backbone).fresh()
    assert all(p.requires_grad for p in method.backbone.parameters())

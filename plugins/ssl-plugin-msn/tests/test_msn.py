"""MSN's step against the authors' code, at float64."""

import math

import torch

from ssl_host import indices_of, random_masks
from ssl_host.testing import assert_matches_reference


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def balanced(targets):
    """Return the authors' Sinkhorn of probabilities: prototypes first, then images."""
    q = targets.T / targets.sum()
    for _ in range(3):
        q = q / q.sum(dim=1, keepdim=True) / q.shape[0]
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).T


def reference(method, anchors, target, num_anchors):
    prototypes = unit(method.prototypes)
    probabilities = (unit(anchors) @ prototypes.T / 0.1).softmax(dim=1)
    with torch.no_grad():
        sharp = (unit(target) @ prototypes.T / 0.1).softmax(dim=1) ** 4
        targets = balanced(sharp / sharp.sum(dim=1, keepdim=True)).repeat(num_anchors, 1)
    mean = probabilities.mean(dim=0)
    match = (probabilities ** (-targets)).log().sum(dim=1).mean()
    return match + (mean * mean.log()).sum() + math.log(len(prototypes))


def test_two_steps_equal_the_authors(method_case):
    case = method_case("msn", num_prototypes=6, mask_ratio=0.3)
    method = case.fresh()
    parameters = [p for _, p in method.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for step in range(2):
        batch = case.batch(6, seed=step)
        out = case.step(method, batch)
        target, anchor, *small = batch.views
        rows, columns = method.backbone.grid(*anchor.shape[-2:])
        dropped = random_masks(batch.rng, rows * columns, 0.3)
        assert not torch.equal(dropped[0], dropped[1])
        masked = method.backbone.tokens(anchor, keep=indices_of(~dropped)).pooled
        local = torch.cat([method.backbone(view) for view in small])
        anchors = torch.cat([method.projector(masked), method.projector(local)])
        with torch.no_grad():
            teacher = method.ema_projector(method.ema_backbone(target))
        expected = reference(method, anchors, teacher, 1 + len(small))
        assert_matches_reference(out.loss, expected, parameters)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        method.finish_step(out, step, 20)


def test_teacher_sees_the_first_view_whole(method_case):
    case = method_case("msn")
    method, batch = case.fresh(), case.batch(6)
    expected = method.ema_backbone(batch.views[0])
    assert torch.allclose(case.step(method, batch).features, expected)


def test_prototypes_have_no_weight_decay(method_case):
    groups = {g.name: g for g in method_case("msn").fresh().param_groups()}
    assert groups["prototypes"].weight_decay == 0.0
    assert [name for name, _ in groups["prototypes"].params] == ["prototypes"]
    assert groups["networks"].weight_decay is None

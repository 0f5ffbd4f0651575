"""Distillation against its definition, at float64, and its frozen teacher."""

import pytest
import torch


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def reference(method, batch):
    view = batch.views[0]
    with torch.no_grad():
        teacher = method.teacher.tokens(method.teacher.normalised_for(view))
    student = method.backbone.tokens(view)
    total = 0
    for s, t in zip(method.project(student.pooled), teacher.pooled, strict=True):
        p = torch.stack([(t / t.norm()) @ row for row in method.queue.rows]) / 0.07
        q = torch.stack([(s / s.norm()) @ row for row in method.queue.rows]) / 0.07
        p, q = p - p.exp().sum().log(), q - q.exp().sum().log()
        total = total + (p.exp() * (p - q)).sum() / len(view)
    if method.config.tokens:
        predicted = method.project_tokens(student.patches)
        side, wanted = (int(x.shape[1] ** 0.5) for x in (predicted, teacher.patches))
        maps = predicted.transpose(1, 2).reshape(len(view), -1, side, side)
        maps = torch.nn.functional.interpolate(maps, (wanted, wanted), mode="bilinear")
        error = (maps.flatten(2).transpose(1, 2) - teacher.patches).square().mean()
        total = total + method.config.tokens * error
    return total


@pytest.mark.parametrize("tokens", [0.0, 0.5])
def test_step_equals_its_definition(method_case, tokens):
    case = method_case("distill", tokens=tokens)
    method, batch = case.fresh(), case.batch(5)
    method.eval()  # tokens and features have the same batch norm
    actual, expected = case.step(method, batch).loss, reference(method, batch)
    assert close(actual, expected)
    parameters = [p for _, p in method.trainable_parameters()]
    gradients = torch.autograd.grad(actual, parameters)
    for a, b in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
        assert close(a, b)


def test_teacher_is_frozen_and_not_optimised(method_case):
    case = method_case("distill")
    method = case.fresh()
    before = [p.clone() for p in method.teacher.parameters()]
    case.train(method, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, method.teacher.parameters(), strict=True))
    assert not any(name.startswith("teacher.") for name, _ in method.trainable_parameters())
    assert [key for key in method.state_dict() if key.startswith("teacher")] == [
        "teacher.fingerprint"
    ]


def test_queue_receives_teacher_features(method_case):
    case = method_case("distill", queue_size=6)
    method, batch = case.fresh(), case.batch(6)
    out = case.step(method, batch)
    method.finish_step(out, 0, 20)
    with torch.no_grad():
        features = method.teacher(method.teacher.normalised_for(batch.views[0]))
    unit = features / features.norm(dim=1, keepdim=True)
    assert close(method.queue.rows, unit)

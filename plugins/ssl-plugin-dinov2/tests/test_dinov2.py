"""DINOv2's step against the authors' losses, at float64."""

import pytest
import torch
from ssl_plugin_dinov2.koleo import koleo

from ssl_host import sinkhorn


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def slow_koleo(features):
    total = 0
    for i, a in enumerate(features):
        a = a / a.norm()
        others = [b / b.norm() for j, b in enumerate(features) if j != i]
        total = total - (min((a - b).norm() for b in others) + 1e-8).log()
    return total / len(features)


def reference(method, batch, centre, patch_centre):
    """Return the loss, written token by token."""
    masks = [method.view_mask(batch, view) for view in range(2)]
    temperature = float(method.teacher_temperature)

    def assign(scores, centre):
        if method.config.assignment == "sinkhorn":
            return sinkhorn(scores, temperature)
        return ((scores - centre) / temperature).softmax(dim=1)

    with torch.no_grad():
        teacher = [method.ema_backbone.tokens(view) for view in batch.views[:2]]
        scores = [method.ema_projector(t.pooled) for t in teacher]
        targets = [assign(s, centre) for s in scores]
        rows = [t.patches[i, j] for t, mask in zip(teacher, masks, strict=True)
                for i, j in mask.nonzero().tolist()]  # fmt: skip
        patch_scores = method.ema_projector(torch.stack(rows))
        patch_targets = iter(assign(patch_scores, patch_centre))
    students = [
        method.backbone.tokens(view, mask=mask, mask_token=method.mask_token)
        for view, mask in zip(batch.views[:2], masks, strict=True)
    ]
    outputs = [method.projector(s.pooled) for s in students]
    outputs += [method.projector(method.backbone(view)) for view in batch.views[2:]]
    count = len(batch.index)

    def cross_entropy(student, target):
        return -(target * (student / 0.1).log_softmax(dim=0)).sum()

    pairs = [(q, v) for q in range(2) for v in range(len(outputs)) if q != v]
    class_loss = sum(
        cross_entropy(outputs[v][i], targets[q][i]) for q, v in pairs for i in range(count)
    ) / (len(pairs) * count)
    patch_loss = 0
    for view, mask in enumerate(masks):
        for i, j in mask.nonzero().tolist():
            term = cross_entropy(
                method.projector(students[view].patches[i, j]), next(patch_targets)
            )
            patch_loss = patch_loss + term / int(mask[i].sum()) / (2 * count)
    spread = sum(slow_koleo(s.pooled) for s in students)
    return class_loss + patch_loss + 0.1 * spread, torch.cat(scores), patch_scores


@pytest.mark.parametrize("assignment", ["centring", "sinkhorn"])
def test_two_steps_equal_the_authors_losses(method_case, assignment):
    case = method_case("dinov2", assignment=assignment)
    method = case.fresh()
    parameters = [p for _, p in method.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    centre = patch_centre = torch.zeros(method.projector.output_dim).double()
    for step in range(2):
        batch = case.batch(6, seed=step)
        out = case.step(method, batch)
        expected, scores, patch_scores = reference(method, batch, centre, patch_centre)
        assert close(out.loss, expected)
        gradients = torch.autograd.grad(out.loss, parameters, allow_unused=True)
        wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
        for parameter, a, b in zip(parameters, gradients, wanted, strict=True):
            assert (a is None) == (b is None)
            assert a is None or close(a, b)
            parameter.grad = a
        optimizer.step()
        method.finish_step(out, step, 20)
        centre = 0.9 * centre + 0.1 * scores.mean(dim=0)
        # The patches' centre is that of the masked ones only.
        patch_centre = 0.9 * patch_centre + 0.1 * patch_scores.mean(dim=0)
        assert close(method.centre.mean, centre) and close(method.patch_centre.mean, patch_centre)


def test_koleo_equals_its_definition():
    features = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    a, b = koleo(features), slow_koleo(features)
    assert close(a, b)
    (ga,), (gb,) = torch.autograd.grad(a, features), torch.autograd.grad(b, features)
    assert close(ga, gb)


def test_koleo_of_duplicates_is_finite():
    features = torch.ones(4, 5, requires_grad=True)
    loss = koleo(features)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(features.grad).all()

"""iBOT's step against equations 2 to 4 of the paper, at float64."""

import torch

from ssl_host import sinkhorn


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def cross_entropy(student, teacher, centre, temperature):
    target = ((teacher - centre) / temperature).exp()
    logits = student / 0.1
    return -((target / target.sum()) * (logits - logits.exp().sum().log())).sum()


def reference(ibot, batch, centre, patch_centre):
    """Return the loss, written token by token, and the teacher's scores."""
    masks = [ibot.view_mask(batch, view) for view in range(2)]
    temperature = float(ibot.teacher_temperature)
    with torch.no_grad():
        teacher = [ibot.ema_backbone.tokens(view) for view in batch.views[:2]]
        scores = [ibot.ema_projector(t.pooled) for t in teacher]
        patch_scores = [ibot.ema_projector(t.patches) for t in teacher]
    students = [
        ibot.backbone.tokens(view, mask=mask, mask_token=ibot.mask_token)
        for view, mask in zip(batch.views[:2], masks, strict=True)
    ]
    outputs = [ibot.projector(s.pooled) for s in students]
    outputs += [ibot.projector(ibot.backbone(view)) for view in batch.views[2:]]
    count, class_loss, patch_loss = len(batch.index), 0, 0
    for i in range(count):
        pairs = [(q, v) for q in range(2) for v in range(len(outputs)) if q != v]
        for q, v in pairs:
            term = cross_entropy(outputs[v][i], scores[q][i], centre, temperature)
            class_loss = class_loss + term / len(pairs) / count
        for view in range(2):
            masked = masks[view][i].nonzero().flatten().tolist()
            patches = ibot.projector(students[view].patches[i])
            for t in masked:
                term = cross_entropy(
                    patches[t], patch_scores[view][i, t], patch_centre, temperature
                )
                patch_loss = patch_loss + term / len(masked) / count / 2
    return class_loss + patch_loss, torch.cat(scores), torch.cat(patch_scores).flatten(0, 1)


def test_two_steps_equal_the_equations(method_case):
    case = method_case("ibot")
    ibot = case.fresh()
    parameters = [p for _, p in ibot.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    centre = patch_centre = torch.zeros(ibot.projector.output_dim).double()
    for step in range(2):
        batch = case.batch(6, seed=step)
        out = case.step(ibot, batch)
        expected, scores, patch_scores = reference(ibot, batch, centre, patch_centre)
        assert close(out.loss, expected)
        gradients = torch.autograd.grad(out.loss, parameters, allow_unused=True)
        wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
        for parameter, a, b in zip(parameters, gradients, wanted, strict=True):
            assert (a is None) == (b is None) and (a is None or close(a, b))
            parameter.grad = a
        optimizer.step()
        ibot.finish_step(out, step, 20)
        centre = 0.9 * centre + 0.1 * scores.mean(dim=0)
        patch_centre = 0.9 * patch_centre + 0.1 * patch_scores.mean(dim=0)
        assert close(ibot.centre.mean, centre) and close(ibot.patch_centre.mean, patch_centre)


def test_half_of_the_views_are_unmasked_and_the_others_by_10_to_50_percent(method_case):
    case = method_case("ibot", min_block=4)
    ibot, batch = case.fresh(), case.batch(64)
    share = torch.cat([ibot.view_mask(batch, view) for view in range(2)]).double().mean(dim=1)
    unmasked = (share == 0).double().mean()
    assert 0.35 < unmasked < 0.65
    assert share[share > 0].min() >= 0.09 and share.max() <= 0.5
    assert share.max() > 0.4


def test_image_without_masked_patches_adds_nothing(method_case):
    case = method_case("ibot", mask_max=0.0, mask_min=0.0)
    out = case.step(case.fresh(), case.batch(4))
    assert float(out.logs["patch_loss"]) == 0
    assert torch.isfinite(out.loss)


def test_small_views_and_teacher_are_not_masked(method_case):
    case = method_case("ibot")
    ibot, seen = case.fresh(), []
    tokens = ibot.ema_backbone.tokens
    ibot.ema_backbone.tokens = lambda *a, **k: (seen.append(k.get("mask")), tokens(*a, **k))[1]
    case.step(ibot, case.batch(4))
    assert seen == [None, None]


def test_sinkhorn_balances_the_patches_of_all_images_together(method_case):
    """Instead of the centre, which is then not used."""
    method = method_case("ibot", assignment="sinkhorn", teacher_temperature=0.05).fresh()
    scores = torch.randn(3, 4, 6, dtype=torch.float64)
    expected = sinkhorn(scores.reshape(12, 6), float(method.teacher_temperature))
    assert torch.equal(method.assign(scores, method.patch_centre), expected.reshape(3, 4, 6))
    centred = method_case("ibot").fresh()
    softmax = (scores / float(centred.teacher_temperature)).softmax(dim=-1)
    centre = centred.make_centre().double()
    centre.mean = torch.zeros(6, dtype=torch.float64)
    assert close(centred.assign(scores, centre), softmax)

"""I-JEPA's step against section 3 of the paper, at float64."""

import torch


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def smooth_l1(difference):
    size = difference.abs()
    return torch.where(size < 1, 0.5 * size**2, size - 0.5).mean()


def reference(ijepa, batch):
    images = batch.views[0]
    grid = ijepa.backbone.grid(*images.shape[-2:])
    keep, targets = ijepa._draw_blocks(batch, grid)
    with torch.no_grad():
        teacher = ijepa.ema_backbone.tokens(images).patches
        centred = teacher - teacher.mean(dim=-1, keepdim=True)
        normalised = centred / ((centred**2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    total = 0
    for i, image in enumerate(images):
        tokens = ijepa.backbone.tokens(image[None], keep=keep[i : i + 1])
        for target in targets:
            predicted = ijepa.predictor(tokens, keep[i : i + 1], target[i : i + 1], grid)[0]
            total = total + smooth_l1(predicted - normalised[i, target[i]])
    return total / (len(images) * len(targets))


def test_step_equals_section_3(method_case):
    case = method_case("ijepa")
    ijepa, batch = case.fresh(), case.batch(5)
    parameters = [p for _, p in ijepa.trainable_parameters()]
    actual, expected = case.step(ijepa, batch).loss, reference(ijepa, batch)
    assert close(actual, expected)
    gradients = torch.autograd.grad(actual, parameters, allow_unused=True)
    wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
    for a, b in zip(gradients, wanted, strict=True):
        assert (a is None) == (b is None) and (a is None or close(a, b))


def test_context_and_targets_are_disjoint_and_counts_agree(method_case):
    case = method_case("ijepa")
    ijepa = case.fresh()
    for seed in range(20):
        batch = case.batch(8, seed=seed)
        keep, targets = ijepa._draw_blocks(batch, (14, 14))
        assert len(targets) == 4
        for i in range(8):
            hidden = set(torch.cat([t[i] for t in targets]).tolist())
            assert not hidden & set(keep[i].tolist())
            assert len(set(keep[i].tolist())) == keep.shape[1] > 10
        for target in targets:
            assert 0.15 * 196 <= target.shape[1] <= 0.2 * 196


def test_loss_of_an_image_does_not_depend_on_its_batch(method_case):
    """The authors cut contexts to the shortest of the batch."""
    case = method_case("ijepa")
    ijepa = case.fresh()
    whole = case.batch(6)
    alone = [case.step(ijepa, case.batch(6, positions=torch.tensor([i]))).loss for i in range(6)]
    assert close(case.step(ijepa, whole).loss, torch.stack(alone).mean())


def test_decay_rises_linearly(method_case):
    ijepa = method_case("ijepa").fresh()
    ijepa.ema_decay.set_step(10, 20)
    assert abs(float(ijepa.ema_decay) - 0.998) < 1e-12

"""data2vec's step against section 3 of the paper, at float64."""

import torch


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def normalise(row):
    centred = row - row.mean()
    return centred / ((centred**2).mean() + 1e-5).sqrt()


def reference(method, batch, mask):
    images = batch.views[0]
    model = method.ema_backbone.model
    outputs = []
    hooks = [
        block.register_forward_hook(lambda _, __, output: outputs.append(output[:, 1:]))
        for block in model.blocks[-method.config.num_blocks :]
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    tokens = method.backbone.tokens(images, mask=mask, mask_token=method.mask_token)
    errors = []
    for i, t in mask.nonzero().tolist():
        mean = sum(normalise(output[i, t]) for output in outputs) / len(outputs)
        size = (method.regressor(tokens.patches[i, t]) - normalise(mean)).abs()
        errors.append(torch.where(size < 2, size**2 / 4, size - 1).mean())
    return torch.stack(errors).mean()


def test_step_equals_section_3(method_case):
    case = method_case("data2vec")
    method, batch = case.fresh(), case.batch(4)
    masks = []
    tokens = method.backbone.tokens
    method.backbone.tokens = lambda *a, **k: (masks.append(k["mask"]), tokens(*a, **k))[1]
    actual = case.step(method, batch).loss
    del method.backbone.tokens
    expected = reference(method, batch, masks[0])
    assert close(actual, expected)
    assert masks[0].sum(dim=1).tolist() == [round(64 * 0.6)] * 4
    parameters = [p for _, p in method.trainable_parameters()]
    gradients = torch.autograd.grad(actual, parameters, allow_unused=True)
    wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
    for a, b in zip(gradients, wanted, strict=True):
        assert (a is None) == (b is None) and (a is None or close(a, b))


def test_teacher_sees_the_whole_image(method_case):
    case = method_case("data2vec")
    method, seen = case.fresh(), []
    tokens = method.ema_backbone.tokens
    method.ema_backbone.tokens = lambda *a, **k: (seen.append(set(k)), tokens(*a, **k))[1]
    case.step(method, case.batch(4))
    assert seen == [{"num_blocks"}]

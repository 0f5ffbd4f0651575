"""SimMIM's step against the authors' loss, at float64."""

import math

import torch


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def reference(simmim, batch):
    """Return the sum of the errors of all masked pixels, divided by their number."""
    images, p = batch.views[0], simmim.backbone.patch_size
    side = simmim.config.mask_cell
    cells = math.ceil(images.shape[-1] / p / side)
    count = math.ceil(cells * cells * 0.6)
    ranks = batch.rng.permutation("mask", cells * cells).argsort(dim=1)
    total, pixels = 0, 0
    for i, image in enumerate(images):
        hidden = torch.zeros(image.shape[1:], dtype=torch.bool)
        for cell in (ranks[i] < count).nonzero().flatten().tolist():
            top, left = (cell // cells) * side * p, (cell % cells) * side * p
            hidden[top : top + side * p, left : left + side * p] = True
        mask = hidden[::p, ::p].flatten()[None]
        tokens = simmim.backbone.tokens(image[None], mask=mask, mask_token=simmim.mask_token)
        for t, masked in enumerate(mask[0].tolist()):
            if not masked:
                continue
            row, column = divmod(t, image.shape[-1] // p)
            patch = image[:, row * p : (row + 1) * p, column * p : (column + 1) * p]
            predicted = simmim.decoder(tokens.patches[0, t]).view(p, p, -1).permute(2, 0, 1)
            total = total + (predicted - patch).abs().sum()
            pixels += patch.numel()
    return total / pixels


def test_step_equals_the_authors_loss(method_case):
    case = method_case("simmim")
    simmim, batch = case.fresh(), case.batch(5)
    parameters = [p for _, p in simmim.trainable_parameters()]
    actual, expected = case.step(simmim, batch).loss, reference(simmim, batch)
    assert close(actual, expected)
    gradients = torch.autograd.grad(actual, parameters, allow_unused=True)
    wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
    for a, b in zip(gradients, wanted, strict=True):
        assert (a is None) == (b is None) and (a is None or close(a, b))


def test_mask_token_starts_within_two_hundredths(method_case):
    token = method_case("simmim").fresh().mask_token
    assert 0 < token.abs().max() <= 0.02

"""MAE's step against section 3 of the paper, at float64."""

import pytest
import torch


def close(actual, expected):
    return (actual - expected).norm() <= 1e-9 * max(1.0, float(expected.norm()))


def patches_of(image, p):
    """Return the pixels of each patch of one image (C, H, W), channels last."""
    rows, columns = image.shape[1] // p, image.shape[2] // p
    return [
        image[:, r * p : (r + 1) * p, c * p : (c + 1) * p].permute(1, 2, 0).flatten()
        for r in range(rows)
        for c in range(columns)
    ]


def reference(mae, batch):
    """Return the loss with the decoder's tokens in the order of the image, as in the paper."""
    images, p = batch.views[0], mae.backbone.patch_size
    grid = mae.backbone.grid(*images.shape[-2:])
    count = grid[0] * grid[1]
    order = batch.rng.permutation("mask", count)
    num_kept = int(count * (1 - mae.config.mask_ratio))
    from ssl_host.toolkit.masked_decoder import sincos_positions

    positions = sincos_positions(grid, mae.config.decoder_dim).double()
    total = 0
    for i, image in enumerate(images):
        keep = order[i : i + 1, :num_kept]
        tokens = mae.backbone.tokens(image[None], keep=keep)
        sequence = [mae.decoder.mask_token + positions[t] for t in range(count)]
        for k, t in enumerate(keep[0].tolist()):
            sequence[t] = mae.decoder.embed(tokens.patches[0, k]) + positions[t]
        x = torch.stack([*mae.decoder.embed(tokens.prefix[0]), *sequence])[None]
        for block in mae.decoder.blocks:
            x = block(x)
        predictions = mae.decoder.project(mae.decoder.norm(x))[0, tokens.prefix.shape[1] :]
        errors = []
        for t in set(range(count)) - set(keep[0].tolist()):
            target = patches_of(image, p)[t]
            if mae.config.normalise_pixels:
                variance = ((target - target.mean()) ** 2).sum() / (len(target) - 1)
                target = (target - target.mean()) / (variance + 1e-6).sqrt()
            errors.append(((predictions[t] - target) ** 2).mean())
        total = total + torch.stack(errors).mean() / len(images)
    return total


@pytest.mark.parametrize("normalise_pixels", [True, False])
def test_step_equals_section_3(method_case, normalise_pixels):
    case = method_case("mae", normalise_pixels=normalise_pixels)
    mae, batch = case.fresh(), case.batch(5)
    parameters = [p for _, p in mae.trainable_parameters()]
    actual, expected = case.step(mae, batch).loss, reference(mae, batch)
    assert close(actual, expected)
    gradients = torch.autograd.grad(actual, parameters, allow_unused=True)
    wanted = torch.autograd.grad(expected, parameters, allow_unused=True)
    for a, b in zip(gradients, wanted, strict=True):
        assert (a is None) == (b is None) and (a is None or close(a, b))


def test_encoder_sees_a_quarter_of_the_patches(method_case):
    case = method_case("mae")
    mae, seen = case.fresh(), []
    mae.backbone.model.blocks[0].register_forward_pre_hook(lambda _, x: seen.append(x[0].shape))
    case.step(mae, case.batch(4))
    assert seen == [(4, 1 + 16, 64)]  # 64 patches, and the class token


def test_pixels_of_visible_patches_do_not_affect_their_neighbours_targets(method_case):
    """Only masked patches count in the loss."""
    case = method_case("mae")
    mae, batch = case.fresh(), case.batch(3)
    images = batch.views[0].requires_grad_()
    with torch.no_grad():
        order = batch.rng.permutation("mask", 64)
    loss = case.step(mae, batch).loss
    (gradient,) = torch.autograd.grad(loss, images)  # through the encoder alone
    for i in range(3):
        reached = {t for t, g in enumerate(patches_of(gradient[i], 2)) if g.any()}
        assert reached == set(order[i, :16].tolist())

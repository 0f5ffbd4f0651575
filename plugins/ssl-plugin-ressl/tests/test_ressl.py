"""ReSSL's step against equations 3 to 5 of the paper, at float64, and its views."""

import pytest
import torch

import ssl_host
from ssl_host.testing import assert_matches_reference


def test_two_steps_equal_the_equations(method_case):
    """The student predicts from the second view what the teacher sees in the first."""
    case = method_case("ressl", queue_size=10)
    method = case.fresh()
    parameters = [p for _, p in method.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for step in range(2):
        weak, strong = (batch := case.batch(6, seed=step)).views
        out = case.step(method, batch)
        with torch.no_grad():
            key = method.ema_projector(method.ema_backbone(weak))
        query = method.projector(method.backbone(strong))
        rows, total = method.queue.rows.clone(), 0
        for q, k in zip(query, key, strict=True):
            target = torch.stack([k @ row / k.norm() / 0.04 for row in rows]).exp()
            logits = torch.stack([q @ row / q.norm() / 0.1 for row in rows])
            total = total - (target / target.sum() * (logits - logits.exp().sum().log())).sum()
        assert_matches_reference(out.loss, total / 6, parameters)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        method.finish_step(out, step, 20)
        newest = key / key.norm(dim=1, keepdim=True)
        assert torch.allclose(method.queue.rows[(torch.arange(6) + 6 * step) % 10], newest)


def test_first_view_is_cropped_and_flipped_only():
    weak, strong = ssl_host.build(
        "augmentation", "weak_strong", image_size=32
    ).augmentation.view_specs()
    assert weak == ssl_host.ViewSpec(crop_scale=(0.2, 1.0), flip=0.5)
    names = ("jitter", "brightness", "contrast", "saturation", "hue", "grayscale", "blur")
    values = [getattr(strong, name) for name in names]
    assert values == pytest.approx([0.8, 0.4, 0.4, 0.4, 0.1, 0.2, 0.5])
    assert (strong.crop_scale, strong.flip) == (weak.crop_scale, weak.flip)

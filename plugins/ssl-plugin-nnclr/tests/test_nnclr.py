"""Tests of NNCLR's step against the paper's equations 3 and 4, at float64."""

import pytest
import torch

import ssl_host
from ssl_host import Batch


def method(queue_size=11, temperature=0.1):
    torch.manual_seed(0)
    backbone = ssl_host.build(
        "backbone", "small_conv", in_channels=1, image_size=8, width=4, num_stages=2
    )
    heads = {
        "head.projector": {"hidden_dim": 12, "output_dim": 6},
        "head.predictor": {"hidden_dim": 9},
    }
    loss = {"loss": {"temperature": temperature}}
    return ssl_host.build(
        "method", "nnclr", backbone=backbone, queue_size=queue_size, **heads, **loss
    ).double()


def neighbour(z, queue):
    return max(queue, key=lambda row: float((row / row.norm()) @ (z / z.norm()))).detach()


def one_direction(anchors, predictions, queue, temperature):
    total = 0
    for i, z in enumerate(anchors):
        n = neighbour(z, queue)
        n = n / n.norm()
        scores = [n @ (p / p.norm()) / temperature for p in predictions]
        total = total - (scores[i].exp() / sum(s.exp() for s in scores)).log()
    return total / len(anchors)


@pytest.mark.parametrize(("count", "queue_size"), [(2, 11), (5, 3), (9, 64)])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_step_equals_equations_3_and_4(count, queue_size, temperature):
    """Candidates are the B predictions of the other view; there are no same-view negatives."""
    nnclr = method(queue_size, temperature)
    assert nnclr.loss.config.temperature == temperature
    views = list(torch.randn(2, count, 1, 8, 8, dtype=torch.float64))
    out = nnclr.step(Batch(views, torch.arange(count)))
    z = [nnclr.projector(nnclr.backbone(view)) for view in views]
    p = [nnclr.predictor(each) for each in z]
    queue = nnclr.queue.rows
    directions = [one_direction(z[i], p[1 - i], queue, temperature) for i in (0, 1)]
    reference = sum(directions) / 2
    assert abs(float(out.loss - reference)) <= 1e-9 * max(1, float(reference))
    parameters = [q for _, q in nnclr.trainable_parameters()]
    for a, b in zip(
        torch.autograd.grad(out.loss, parameters),
        torch.autograd.grad(reference, parameters),
        strict=True,
    ):
        assert (a - b).norm() <= 1e-9 * max(1, float(b.norm()))
    assert torch.allclose(out.enqueue["queue"], z[0].detach(), rtol=0, atol=1e-12)
    assert out.enqueue.keys() == {"queue"}


def test_default_heads_and_queue_are_those_of_the_paper():
    backbone = ssl_host.build("backbone", "small_conv", in_channels=1, image_size=8, num_stages=1)
    nnclr = ssl_host.build("method", "nnclr", backbone=backbone)
    assert len(nnclr.queue) == 98_304
    widths = [m.out_features for m in nnclr.projector.layers if isinstance(m, torch.nn.Linear)]
    assert widths == [2048, 2048, 256]
    assert isinstance(nnclr.projector.layers[-1], torch.nn.BatchNorm1d)
    widths = [m.out_features for m in nnclr.predictor.layers if isinstance(m, torch.nn.Linear)]
    assert widths == [4096, 256]

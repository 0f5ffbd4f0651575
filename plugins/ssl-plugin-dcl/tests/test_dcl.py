"""The losses of DCL and DCLW against the equations of the paper, at float64."""

import lightly.loss
import pytest
import torch

import ssl_host
from ssl_host.testing import assert_matches_reference


def reference(z1, z2, temperature=0.1, sigma=None):
    """Return equation 6 or 7 embedding by embedding, averaged over both directions."""
    count = len(z1)
    z1, z2 = z1 / z1.norm(dim=1, keepdim=True), z2 / z2.norm(dim=1, keepdim=True)
    positive = torch.stack([z1[i] @ z2[i] for i in range(count)])
    weights = torch.ones(count, dtype=z1.dtype)
    if sigma is not None:
        weights = 2 - count * (positive / sigma).exp() / (positive / sigma).exp().sum()
    total = 0
    for z in (z1, z2):
        for i in range(count):
            others = [z[i] @ other[j] for other in (z1, z2) for j in range(count) if j != i]
            denominator = torch.stack([(s / temperature).exp() for s in others]).sum()
            total = total - weights[i] * positive[i] / temperature + denominator.log()
    return total / (2 * count)


def embeddings(count=6, width=5):
    return [torch.randn(count, width, dtype=torch.float64).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize(("name", "sigma"), [("dcl", None), ("dclw", 0.5)])
@pytest.mark.parametrize("count", [2, 7])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_equals_the_equations(name, sigma, count, temperature):
    pair = embeddings(count)
    loss = ssl_host.build("loss", name, temperature=temperature)(*pair)
    assert_matches_reference(loss, reference(*pair, temperature, sigma), pair)


def test_loss_equals_lightlys():
    pair = embeddings()
    unit = [z / z.norm(dim=1, keepdim=True) for z in pair]
    theirs = lightly.loss.DCLLoss(temperature=0.1)(*unit)
    assert_matches_reference(ssl_host.build("loss", "dcl")(*pair), theirs, pair, 1e-6)


def test_weighted_loss_has_lightlys_value():
    """Lightly's weights have no gradient; those of the authors have one."""
    pair = embeddings()
    unit = [z / z.norm(dim=1, keepdim=True) for z in pair]
    theirs = lightly.loss.DCLWLoss(temperature=0.1, sigma=0.5)(*unit)
    assert float(ssl_host.build("loss", "dclw")(*pair)) == pytest.approx(float(theirs), rel=1e-6)


@pytest.mark.parametrize(("name", "sigma"), [("dcl", None), ("dclw", 0.5)])
def test_step_equals_the_equations(name, sigma, method_case):
    case = method_case(name)
    method, batch = case.fresh(), case.batch(6)
    z1, z2 = (method.projector(method.backbone(view)) for view in batch.views)
    parameters = [p for _, p in method.trainable_parameters()]
    assert_matches_reference(
        case.step(method, batch).loss, reference(z1, z2, 0.1, sigma), parameters
    )

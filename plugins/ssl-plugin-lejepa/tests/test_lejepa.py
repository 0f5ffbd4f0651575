"""LeJEPA's regulariser and step against the paper's algorithm, at float64."""

from dataclasses import replace

import pytest
import torch

import ssl_host
from ssl_host.contracts.rng import BatchRNG
from ssl_host.testing import assert_matches_reference


def directions(width, count, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(width, count, generator=generator)
    return (rows / rows.norm(dim=0)).double()


def sigreg(z, axes, knots=17):
    """Return the statistic as an integral over -3 to 3 with complex exponentials."""
    t = torch.linspace(-3, 3, 2 * knots - 1, dtype=torch.float64)
    normal = torch.exp(-(t**2) / 2)
    total = 0
    for axis in axes.T:
        characteristic = torch.exp(1j * (z @ axis)[:, None] * t).mean(dim=0)
        integrand = (characteristic - normal).abs() ** 2 * normal
        total = total + len(z) * torch.trapezoid(integrand, t)
    return total / axes.shape[1]


@pytest.mark.parametrize("count", [2, 9])
@pytest.mark.parametrize("knots", [17, 33])
def test_loss_equals_the_integral(count, knots):
    z = torch.randn(count, 4, dtype=torch.float64).requires_grad_()
    loss = ssl_host.build("loss", "sigreg", num_directions=12, num_knots=knots)(z, seed=3)
    assert_matches_reference(loss, sigreg(z, directions(4, 12, 3), knots), [z])


def test_loss_equals_lightlys(monkeypatch):
    """In the same directions."""
    z = torch.randn(9, 4, dtype=torch.float64).requires_grad_()
    theirs = pytest.importorskip("lightly.loss.lejepa_loss").SIGReg(num_vectors=12)
    monkeypatch.setattr(theirs, "_generate_unit_vectors", lambda *_, **__: directions(4, 12, 3))
    ours = ssl_host.build("loss", "sigreg", num_directions=12)(z, seed=3)
    assert_matches_reference(ours, theirs(z), [z], 1e-6)


def test_loss_is_small_for_normal_and_large_for_collapsed_embeddings():
    torch.manual_seed(0)
    loss = ssl_host.build("loss", "sigreg", num_directions=64)
    normal = float(loss(torch.randn(2000, 8)))
    # For a sample of the distribution itself the statistic is about 1, whatever its size.
    assert normal < 2 < 100 < float(loss(torch.zeros(2000, 8)))
    assert float(loss(3 * torch.randn(2000, 8))) > 50 * normal


def test_step_equals_algorithm_2(method_case):
    case = method_case("lejepa", loss={"num_directions": 12})
    method, batch = case.fresh(), case.batch(6)
    out = case.step(method, batch)
    full = method.backbone(torch.cat(batch.views[:2]))
    small = method.backbone(torch.cat(batch.views[2:]))
    z = method.projector(torch.cat([full, small])).split(6)
    centre = (z[0] + z[1]) / 2
    distance = sum(((view - centre) ** 2).mean() for view in z) / len(z)
    seed = int(batch.rng.shared_uniform("directions", 0, 2**24))
    axes = directions(z[0].shape[1], 12, seed)
    normality = sum(sigreg(view, axes) for view in z) / len(z)
    parameters = [p for _, p in method.trainable_parameters()]
    assert_matches_reference(out.loss, 0.95 * distance + 0.05 * normality, parameters)


def test_directions_change_with_the_step(method_case):
    """The same images have another statistic in another step, and the same in the same step."""
    case = method_case("lejepa", loss={"num_directions": 4})
    method, batch = case.fresh().eval(), case.batch(6)
    values = []
    for step in (0, 1, 1):
        rng = BatchRNG(0, 0, batch.index, step)
        values.append(float(case.step(method, replace(batch, rng=rng)).logs["normality"]))
    assert values[0] != values[1] == values[2]

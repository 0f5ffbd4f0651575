"""TiCo's loss and step against equations 4 and 5 of the paper, at float64."""

import lightly.loss
import pytest
import torch

import ssl_host
from ssl_host.testing import assert_matches_reference


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def reference(z, target, covariance, weight=8.0):
    z, target = unit(z), unit(target)
    total = 1
    for row, other in zip(z, target, strict=True):
        total = total - row @ other / len(z) + weight * (row @ covariance @ row) / len(z)
    return total


def outer(z):
    return sum(torch.outer(row, row) for row in unit(z.detach())) / len(z)


@pytest.mark.parametrize("weight", [8.0, 20.0])
def test_loss_equals_equation_5(weight):
    z, target = (torch.randn(6, 4, dtype=torch.float64).requires_grad_() for _ in range(2))
    covariance = torch.randn(4, 4, dtype=torch.float64)
    loss = ssl_host.build("loss", "tico", covariance=weight)
    expected = reference(z, target, covariance, weight)
    assert_matches_reference(loss(z, target, covariance), expected, [z, target])
    own = reference(z, target, outer(z), weight)
    assert_matches_reference(loss(z, target), own, [z, target])


def test_loss_equals_lightlys():
    """With lightly's covariance after its first batch, which starts at zero."""
    z, target = (torch.randn(6, 4, dtype=torch.float64).requires_grad_() for _ in range(2))
    theirs = lightly.loss.TiCoLoss(beta=0.9, rho=8.0)(z, target)
    ours = ssl_host.build("loss", "tico")(z, target, 0.1 * outer(z))
    assert_matches_reference(ours, theirs, [z, target], 1e-6)


def test_steps_use_the_moving_covariance_with_their_own_batch(method_case):
    case = method_case("tico", covariance_decay=0.7)
    method = case.fresh()
    parameters = [p for _, p in method.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    covariance = torch.zeros(method.projector.output_dim, method.projector.output_dim).double()
    for step in range(3):
        batch = case.batch(6, seed=step)
        out = case.step(method, batch)
        z = method.projector(method.backbone(batch.views[0]))
        with torch.no_grad():
            target = method.ema_projector(method.ema_backbone(batch.views[1]))
        covariance = 0.7 * covariance + 0.3 * outer(z)
        assert_matches_reference(out.loss, reference(z, target, covariance), parameters)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        method.finish_step(out, step, 20)
        assert torch.allclose(method.covariance.value, covariance)


def test_covariance_is_in_the_state(method_case):
    case = method_case("tico")
    method = case.fresh()
    case.train(method, 2)
    assert method.state_dict()["covariance.value"].any()

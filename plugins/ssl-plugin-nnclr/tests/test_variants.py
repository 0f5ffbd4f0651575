"""The steps of NNSiam and NNBYOL against their equations, at float64."""

import pytest
import torch

from ssl_host.testing import assert_matches_reference


def unit(rows):
    return rows / rows.norm(dim=1, keepdim=True)


def nearest(queue, rows):
    return torch.stack([max(queue, key=lambda q, r=row: float(q @ r)) for row in unit(rows)])


def cosine(predictions, targets):
    pairs = zip(unit(predictions), unit(targets), strict=True)
    return sum(p @ t for p, t in pairs) / len(targets)


@pytest.mark.parametrize("name", ["nnsiam", "nnbyol"])
def test_two_steps_equal_the_equations(name, method_case):
    """NNBYOL looks up the EMA network's embeddings and stores those of the first view."""
    case = method_case(name, queue_size=20)
    method = case.fresh()
    parameters = [p for _, p in method.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for step in range(2):
        batch = case.batch(6, seed=step)
        out = case.step(method, batch)
        z = [method.projector(method.backbone(view)) for view in batch.views]
        keys = [rows.detach() for rows in z]
        if name == "nnbyol":
            with torch.no_grad():
                keys = [method.ema_projector(method.ema_backbone(view)) for view in batch.views]
        n = [nearest(method.queue.rows, rows) for rows in keys]
        cosines = [cosine(method.predictor(z[0]), n[1]), cosine(method.predictor(z[1]), n[0])]
        expected = -sum(cosines) / 2 if name == "nnsiam" else sum(2 - 2 * c for c in cosines)
        assert_matches_reference(out.loss, expected, parameters)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        method.finish_step(out, step, 20)
        assert torch.allclose(method.queue.rows[6 * step : 6 * step + 6], unit(keys[0]))


def test_learning_rate_of_nnsiams_predictor_is_constant(method_case):
    schedules = {g.name: g.schedule for g in method_case("nnsiam").fresh().param_groups()}
    assert schedules == {"encoder": "scheduler", "predictor": "constant"}

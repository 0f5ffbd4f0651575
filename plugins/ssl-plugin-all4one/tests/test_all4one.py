"""All4One's step against solo-learn's loss, at float64."""

import torch

from ssl_host.testing import assert_matches_reference


def unit(rows, dim=1):
    return rows / rows.norm(dim=dim, keepdim=True)


def contrast(queries, keys, temperature):
    logits = unit(queries) @ unit(keys).T / temperature
    return -sum(row[i] - row.exp().sum().log() for i, row in enumerate(logits)) / len(logits)


def correlation(target, z):
    matrix = unit(unit(target), dim=0).T @ unit(z, dim=0)
    diagonal = matrix.diagonal()
    off = matrix.flatten()[:-1].view(len(matrix) - 1, -1)[:, 1:]
    return ((diagonal - 1) ** 2).mean(), (off**2).mean()


def neighbours(queue, rows, count):
    similarity = unit(rows) @ queue.T
    return torch.stack([queue[row.argsort(descending=True)[:count]] for row in similarity])


def test_two_steps_equal_solo_learns_loss(method_case):
    case = method_case("all4one", queue_size=20, num_neighbours=4)
    method = case.fresh()
    parameters = [p for _, p in method.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for step in range(2):
        batch = case.batch(6, seed=step)
        out = case.step(method, batch)
        z = [method.projector(method.backbone(view)) for view in batch.views]
        p = [method.predictor(rows) for rows in z]
        q = [method.neighbour_predictor(rows) for rows in z]
        with torch.no_grad():
            t = [method.ema_projector(method.ema_backbone(view)) for view in batch.views]
        queue = method.queue.rows
        n = [neighbours(queue, rows, 4) for rows in t]

        def summary(sequence):
            return method.transformer(sequence + method.positions)[:, 0]

        shifted = [torch.cat([q[i][:, None], n[i][:, :3]], dim=1) for i in range(2)]
        single = (contrast(n[0][:, 0], p[1], 0.2) + contrast(n[1][:, 0], p[0], 0.2)) / 2
        joined = (
            contrast(summary(n[0]), summary(shifted[1]), 0.1)
            + contrast(summary(n[1]), summary(shifted[0]), 0.1)
        ) / 2
        on, off = zip(correlation(t[0], z[1]), correlation(t[1], z[0]), strict=True)
        features = 5 * (0.5 * (sum(on) / 2).sqrt() + 0.5 * (sum(off) / 2).sqrt())
        expected = 0.5 * single + 0.5 * joined + features
        assert_matches_reference(out.loss, expected, parameters)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        method.finish_step(out, step, 20)
        assert torch.allclose(method.queue.rows[6 * step : 6 * step + 6], unit(t[0]))


def test_transformer_learns_at_a_tenth_of_the_rate(method_case):
    groups = {g.name: g for g in method_case("all4one").fresh().param_groups()}
    assert groups["transformer"].lr_scale == 0.1
    assert groups["networks"].lr_scale == 1.0
    assert all(name.startswith("transformer.") for name, _ in groups["transformer"].params)

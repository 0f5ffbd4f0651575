"""The loss of W-MSE against an independent whitening, at float64."""

import lightly.loss
import pytest
import torch

import ssl_host
from ssl_host.testing import assert_matches_reference, run_distributed


def whiten(rows, epsilon):
    """Return rows multiplied by the inverse of the Cholesky factor of their covariance."""
    centred = rows - rows.sum(dim=0) / len(rows)
    width = rows.shape[1]
    covariance = sum(torch.outer(row, row) for row in centred) / (len(rows) - 1)
    covariance = (1 - epsilon) * covariance + epsilon * torch.eye(width, dtype=rows.dtype)
    return centred @ torch.linalg.inv(torch.linalg.cholesky(covariance)).T


def reference(z1, z2, sub_batch, epsilon=0.0, order=None):
    position = range(len(z1)) if order is None else sorted(range(len(z1)), key=lambda i: order[i])
    z1, z2 = z1[list(position)], z2[list(position)]
    total = 0
    for start in range(0, len(z1), sub_batch):
        a = whiten(z1[start : start + sub_batch], epsilon)
        b = whiten(z2[start : start + sub_batch], epsilon)
        for u, v in zip(a, b, strict=True):
            total = total + 2 - 2 * (u @ v) / (u.norm() * v.norm())
    return total / len(z1)


def embeddings(count, width=4):
    return [torch.randn(count, width, dtype=torch.float64).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize(("count", "sub_batch"), [(10, 10), (24, 8), (9, 128)])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_loss_equals_the_equations(count, sub_batch, epsilon):
    pair = embeddings(count)
    loss = ssl_host.build("loss", "w_mse", sub_batch=sub_batch, epsilon=epsilon)(*pair)
    assert_matches_reference(loss, reference(*pair, min(sub_batch, count), epsilon), pair)


def test_loss_equals_lightlys():
    pair = embeddings(10)
    theirs = lightly.loss.WMSELoss(embedding_dim=4, w_size=10).double()(torch.cat(pair))
    ours = ssl_host.build("loss", "w_mse", sub_batch=10)(*pair)
    assert_matches_reference(ours, theirs, pair, 1e-6)


def test_images_are_split_in_the_given_order():
    pair, order = embeddings(16), torch.rand(16)
    loss = ssl_host.build("loss", "w_mse", sub_batch=8)(*pair, order)
    assert_matches_reference(loss, reference(*pair, 8, order=order.tolist()), pair)


def test_remaining_images_do_not_form_a_small_sub_batch():
    pair = embeddings(11)
    loss = ssl_host.build("loss", "w_mse", sub_batch=8)(*pair)
    assert_matches_reference(loss, reference(*pair, 11), pair)


def work(pair, order):
    rank, size = torch.distributed.get_rank(), len(order) // 2
    share = slice(rank * size, (rank + 1) * size)
    loss = ssl_host.build("loss", "w_mse", sub_batch=8)
    return float(loss(*(z[share] for z in pair), order[share]))


def test_sub_batches_are_formed_over_two_processes():
    pair, order = [z.detach() for z in embeddings(16)], torch.rand(16)
    expected = float(reference(*pair, 8, order=order.tolist()))
    assert run_distributed(work, pair, order) == pytest.approx([expected, expected], abs=1e-12)


def test_step_averages_over_permutations_that_depend_on_the_images(method_case):
    case = method_case("wmse", num_permutations=2, loss={"sub_batch": 24})
    method, batch = case.fresh(), case.batch(48)
    z1, z2 = (method.projector(method.backbone(view)) for view in batch.views)
    orders = batch.rng.integers("order", 2**63 - 1, count=2)
    assert not torch.equal(orders[:, 0].argsort(), orders[:, 1].argsort())
    expected = sum(reference(z1, z2, 24, order=o.tolist()) for o in orders.T) / 2
    parameters = [p for _, p in method.trainable_parameters()]
    assert_matches_reference(case.step(method, batch).loss, expected, parameters, 1e-7)


def test_too_few_images_for_the_whitening_is_a_warning(method_case):
    method = method_case("wmse", loss={"sub_batch": 8}).fresh()
    assert any("sub_batch" in text for text in method.config_warnings(1))
    method = method_case("wmse", loss={"sub_batch": 8, "epsilon": 0.01}).fresh()
    assert not list(method.config_warnings(1))

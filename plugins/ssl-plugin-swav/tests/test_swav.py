"""SwAV's loss and step against the authors' algorithm, at float64."""

import lightly.loss
import pytest
import torch

import ssl_host
from ssl_host.testing import assert_matches_reference, run_distributed


def assignments(scores, epsilon=0.05, iterations=3):
    """Return Sinkhorn's assignments as in the authors' code: prototypes first, then samples."""
    q = (scores / epsilon).exp().T
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(dim=1, keepdim=True) / q.shape[0]
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).T


def reference(scores, queued=(None, None)):
    total, pairs = 0, 0
    for i in range(2):
        joined = scores[i] if queued[i] is None else torch.cat([queued[i], scores[i]])
        target = assignments(joined.detach())[-len(scores[i]) :]
        for v, other in enumerate(scores):
            if v != i:
                total = total - (target * (other / 0.1).log_softmax(dim=1)).sum(dim=1).mean()
                pairs += 1
    return total / pairs


def unit(*shape):
    rows = torch.randn(*shape, dtype=torch.float64)
    return rows / rows.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("num_views", [2, 5])
def test_loss_equals_the_authors(num_views):
    scores = [unit(7, 4).requires_grad_() for _ in range(num_views)]
    assert_matches_reference(ssl_host.build("loss", "swav")(*scores), reference(scores), scores)


def test_loss_with_queued_embeddings_equals_the_authors():
    scores = [unit(5, 4).requires_grad_() for _ in range(3)]
    queued = [unit(9, 4), unit(9, 4)]
    loss = ssl_host.build("loss", "swav")(*scores, queued=queued)
    assert_matches_reference(loss, reference(scores, queued), scores)


def test_loss_equals_lightlys():
    scores = [unit(6, 4).requires_grad_() for _ in range(4)]
    theirs = lightly.loss.SwaVLoss()(scores[:2], scores[2:])
    ours = ssl_host.build("loss", "swav")(*scores)
    assert_matches_reference(ours, theirs.squeeze(), scores, 1e-6)


def loss_of_share(scores, queued, rank, size):
    share = [s[rank * size : (rank + 1) * size] for s in scores]
    return float(ssl_host.build("loss", "swav")(*share, queued=queued))


def work(scores, queued):
    size = len(scores[0]) // torch.distributed.get_world_size()
    return loss_of_share(scores, queued, torch.distributed.get_rank(), size)


def test_queued_embeddings_count_once_for_two_processes():
    scores, queued = [unit(6, 4), unit(6, 4)], [unit(9, 4), unit(9, 4)]
    losses = run_distributed(work, scores, queued)
    assert sum(losses) / 2 == pytest.approx(loss_of_share(scores, queued, 0, 6), abs=1e-12)


def test_two_steps_equal_the_authors(method_case):
    case = method_case("swav", num_prototypes=6, freeze_prototypes_epochs=0)
    method = case.fresh()
    parameters = [p for _, p in method.trainable_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for step in range(2):
        batch = case.batch(6, seed=step)
        out = case.step(method, batch)
        full, small = torch.cat(batch.views[:2]), torch.cat(batch.views[2:])
        features = torch.cat([method.backbone(full), method.backbone(small)])
        z = method.projector(features)
        z = z / z.norm(dim=1, keepdim=True)
        prototypes = method.prototypes.weight
        assert torch.allclose(prototypes.norm(dim=1), torch.ones(6).double())
        assert_matches_reference(out.loss, reference((z @ prototypes.T).split(6)), parameters)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        method.finish_step(out, step, 20)


def test_queue_is_used_once_it_is_full_and_scored_with_the_current_prototypes(method_case):
    case = method_case("swav", num_prototypes=6, queue_size=12, queue_start_epoch=0)
    method = case.fresh()
    for step in range(2):
        assert not method._has_full_queues()
        method.finish_step(case.step(method, case.batch(6, seed=step)), step, 20)
    assert method._has_full_queues()
    with torch.no_grad():
        method.prototypes.weight.copy_(unit(6, method.projector.output_dim))
    batch = case.batch(6, seed=2)
    out = case.step(method, batch)
    z = method.projector(
        torch.cat(
            [
                method.backbone(torch.cat(batch.views[:2])),
                method.backbone(torch.cat(batch.views[2:])),
            ]
        )
    )
    scores = (z / z.norm(dim=1, keepdim=True) @ method.prototypes.weight.T).split(6)
    queued = [q.rows @ method.prototypes.weight.T.detach() for q in (method.queue0, method.queue1)]
    assert_matches_reference(out.loss, reference(scores, queued), method.projector.parameters())


def test_queue_is_filled_from_its_first_epoch(method_case):
    case = method_case("swav", num_prototypes=6, queue_size=12, queue_start_epoch=1)
    method = case.fresh()
    out = case.step(method, case.batch(6))
    assert not out.enqueue
    method.finish_step(out, 0, 20, epoch=1)
    assert set(case.step(method, case.batch(6)).enqueue) == {"queue0", "queue1"}


def test_prototypes_are_frozen_in_the_first_epoch(method_case):
    case = method_case("swav", num_prototypes=6)
    method = case.fresh()
    for epoch, frozen in ((0, True), (1, False)):
        method.progress = ssl_host.Progress(0, 20, epoch)
        case.step(method, case.batch(6)).loss.backward()
        method.before_optimizer_step()
        assert (method.prototypes.weight.grad is None) == frozen


def test_more_prototypes_than_images_is_a_warning(method_case):
    method = method_case("swav", num_prototypes=500).fresh()
    assert any("num_prototypes" in text for text in method.config_warnings(1))

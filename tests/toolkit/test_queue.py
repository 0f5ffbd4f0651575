"""Tests of the feature queue: sizes, order, state, neighbours."""

import pytest
import torch
from torch.nn import functional

from ssl_host import FeatureQueue


def rows(count, dim=3, seed=0):
    vectors = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(vectors, dim=1)


@pytest.mark.parametrize("size", [1, 5, 7, 16])
@pytest.mark.parametrize("batch", [1, 3, 7, 20])
def test_queue_holds_the_last_rows_for_any_batch_size(size, batch):
    queue = FeatureQueue(size, 3)
    history = queue.rows.clone()
    for seed in range(6):
        pushed = rows(batch, seed=seed)
        queue.push(pushed)
        history = torch.cat([history, pushed])
    expected = {tuple(row) for row in history[-size:].tolist()}
    found = {tuple(row) for row in queue.rows.tolist()}
    assert len(found) == size
    for row in found:
        assert min(sum((a - b) ** 2 for a, b in zip(row, e, strict=True)) for e in expected) < 1e-12
    assert int(queue.pushed) == 6 * batch


def test_push_replaces_the_oldest_rows():
    queue = FeatureQueue(4, 3)
    queue.push(rows(3, seed=1))
    queue.push(rows(2, seed=2))
    assert torch.allclose(queue.rows[3], rows(2, seed=2)[0])
    assert torch.allclose(queue.rows[0], rows(2, seed=2)[1])
    assert torch.allclose(queue.rows[1:3], rows(3, seed=1)[1:])


def test_state_dict_restores_the_queue():
    queue = FeatureQueue(5, 3)
    queue.push(rows(7))
    twin = FeatureQueue(5, 3, seed=9)
    twin.load_state_dict(queue.state_dict())
    for each in (queue, twin):
        each.push(rows(3, seed=4))
    assert torch.equal(queue.rows, twin.rows)
    assert queue.state_dict().keys() == {"rows", "cursor", "pushed"}


def test_nearest_is_the_row_of_largest_cosine():
    queue = FeatureQueue(6, 3)
    queue.push(rows(6, seed=3))
    queries = 5 * rows(4, seed=8)
    for query, found in zip(queries, queue.nearest(queries), strict=True):
        best = max(queue.rows, key=lambda row, q=query: float(row @ q))
        assert torch.equal(found, best)


def test_nearest_with_a_count_returns_rows_in_order_of_similarity():
    queue = FeatureQueue(6, 3)
    queue.push(rows(6, seed=3))
    queries = 5 * rows(4, seed=8)
    for query, found in zip(queries, queue.nearest(queries, 3), strict=True):
        ordered = sorted(queue.rows, key=lambda row, q=query: -float(row @ q))
        assert torch.equal(found, torch.stack(ordered[:3]))


def test_queue_of_size_zero_is_rejected():
    with pytest.raises(ValueError, match="size = 0: must be at least 1"):
        FeatureQueue(0, 3)

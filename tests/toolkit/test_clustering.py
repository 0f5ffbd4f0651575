"""Sinkhorn-Knopp and spherical k-means, in one and two processes."""

import pytest
import torch
from torch.nn import functional

from ssl_host import sinkhorn, spherical_kmeans
from ssl_host.testing import run_distributed
from ssl_host.toolkit.distributed import rank


def scores():
    return torch.randn(12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_sinkhorn_equals_swavs_algorithm():
    """Against the pseudocode of arXiv:2006.09882, appendix A."""
    q = (scores() / 0.05).exp().T
    q /= q.sum()
    for _ in range(3):
        q /= q.sum(dim=1, keepdim=True)
        q /= 4
        q /= q.sum(dim=0, keepdim=True)
        q /= 12
    expected = (q * 12).T
    assert (sinkhorn(scores()) - expected).abs().max() < 1e-12


def test_sinkhorn_with_shared_scores_balances_them_with_the_images():
    expected = sinkhorn(scores())[:5]
    assert (sinkhorn(scores()[:5], shared=scores()[5:]) - expected).abs().max() < 1e-12


def test_sinkhorn_balances_prototypes_and_stays_finite():
    assignments = sinkhorn(50 * scores(), iterations=50)
    assert torch.isfinite(assignments).all()
    assert torch.allclose(assignments.sum(dim=1), torch.ones(12).double())
    assert (sinkhorn(scores(), 0.5, 100).sum(dim=0) - 3).abs().max() < 1e-6


def share():
    parts = scores()[:5], scores()[5:]
    return sinkhorn(parts[rank()])


def test_two_processes_balance_their_images_together():
    parts = run_distributed(share)
    assert (torch.cat(parts) - sinkhorn(scores())).abs().max() < 1e-12


def share_with_queue():
    parts = scores()[:3], scores()[3:5]
    return sinkhorn(parts[rank()], shared=scores()[5:])


def test_shared_scores_count_once_for_two_processes():
    parts = run_distributed(share_with_queue)
    assert (torch.cat(parts) - sinkhorn(scores())[:5]).abs().max() < 1e-12


def test_kmeans_finds_separated_clusters():
    generator = torch.Generator().manual_seed(1)
    centres = torch.eye(4)
    rows = centres.repeat_interleave(25, dim=0) + 0.1 * torch.randn(100, 4, generator=generator)
    rows = functional.normalize(rows, dim=1)
    for seed in range(20):
        centroids, clusters = spherical_kmeans(rows, 4, seed=seed)
        assert torch.allclose(centroids.norm(dim=1), torch.ones(4))
        if len({int(c) for c in clusters[::25]}) == 4:
            break
    assert all(len(part.unique()) == 1 for part in clusters.split(25))


def test_more_clusters_than_images_are_refused():
    with pytest.raises(ValueError, match="5 clusters"):
        spherical_kmeans(torch.eye(4), 5)

"""Tests of evenly spaced indices."""

import pytest

from ssl_host.toolkit.sampling import evenly_spaced_indices


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [(10, 4, [0, 3, 6, 9]), (3, 10, [0, 1, 2]), (1, 5, [0]), (5, 1, [0]), (0, 5, []), (7, 0, [])],
)
def test_indices_are_evenly_spaced_with_first_and_last(count, limit, expected):
    assert evenly_spaced_indices(count, limit).tolist() == expected


@pytest.mark.parametrize("count", [5_000, 40_000_004])
def test_indices_of_large_datasets_are_exact(count):
    indices = evenly_spaced_indices(count, 33)
    assert indices[0] == 0
    assert indices[-1] == count - 1
    assert len(indices.unique()) == 33


def test_gaps_between_indices_differ_by_at_most_one():
    gaps = evenly_spaced_indices(1_000_003, 1_000).diff()
    assert gaps.max() - gaps.min() <= 1

"""Indices spread over a set: all different, the ends in, exact for sets of any size."""

import pytest

from ssl_host.toolkit.sampling import evenly_spaced_indices


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [(10, 4, [0, 3, 6, 9]), (3, 10, [0, 1, 2]), (1, 5, [0]), (5, 1, [0]), (0, 5, []), (7, 0, [])],
)
def test_the_indices(count, wanted, expected):
    assert evenly_spaced_indices(count, wanted).tolist() == expected


@pytest.mark.parametrize("count", [5_000, 40_000_004])
def test_all_are_different_and_below_the_count(count):
    """Seen to fail with ``torch.linspace(...).long()``: its last is 40,000,004."""
    chosen = evenly_spaced_indices(count, 33)
    assert chosen[0] == 0
    assert chosen[-1] == count - 1
    assert len(chosen.unique()) == 33


def test_they_are_evenly_evenly_spaced_indices():
    gaps = evenly_spaced_indices(1_000_003, 1_000).diff()
    assert gaps.max() - gaps.min() <= 1

"""The moving average against the formula, over two processes, and in a checkpoint."""

import pytest
import torch

from ssl_host import MovingAverage
from ssl_host.testing import run_distributed
from ssl_host.toolkit.distributed import rank, world_size

ROWS = torch.arange(24, dtype=torch.float64).view(3, 4, 2)


def test_it_is_the_papers_centre():
    """c <- m c + (1 - m) mean, from zero. Seen to fail with m and 1 - m exchanged."""
    average = MovingAverage(2, 0.9).double()
    expected = torch.zeros(2, dtype=torch.float64)
    for rows in ROWS:
        average.push(rows)
        expected = 0.9 * expected + 0.1 * rows.mean(dim=0)
    assert torch.allclose(average.mean, expected, rtol=0, atol=1e-12)


def pushed():
    average = MovingAverage(2, 0.9).double()
    for rows in ROWS:
        average.push(rows.chunk(world_size())[rank()])
    return average.mean


def test_two_processes_equal_one():
    """Seen to fail without the gathering."""
    for found in run_distributed(pushed):
        assert torch.allclose(found, pushed(), rtol=0, atol=1e-12)


def test_it_is_state_and_a_momentum_has_bounds():
    average = MovingAverage(2, 0.5)
    average.push(torch.ones(3, 2))
    twin = MovingAverage(2, 0.5)
    twin.load_state_dict(average.state_dict())
    assert twin.mean.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="not from 0 to 1"):
        MovingAverage(2, 1.5)

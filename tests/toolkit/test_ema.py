"""Tests of the moving average: formula, two processes, state."""

import pytest
import torch

from ssl_host import MovingAverage
from ssl_host.testing import run_distributed
from ssl_host.toolkit.distributed import rank, world_size

ROWS = torch.arange(24, dtype=torch.float64).view(3, 4, 2)


def test_moving_average_follows_the_formula_of_dino():
    """c <- m c + (1 - m) mean, from zero."""
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


def test_moving_average_of_two_processes_equals_one():
    for mean in run_distributed(pushed):
        assert torch.allclose(mean, pushed(), rtol=0, atol=1e-12)


def test_moving_average_is_saved_and_momentum_has_bounds():
    average = MovingAverage(2, 0.5)
    average.push(torch.ones(3, 2))
    twin = MovingAverage(2, 0.5)
    twin.load_state_dict(average.state_dict())
    assert twin.mean.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        MovingAverage(2, 1.5)

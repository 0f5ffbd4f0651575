"""Schedules: values computed by hand, state that survives."""

import math

import pytest
import torch

from ssl_host import ConstantSchedule, CosineSchedule, LinearSchedule


def test_byols_momentum_at_given_steps():
    """τ = 1 − (1 − τ₀)·(cos(πk/K) + 1)/2."""
    ema_decay = CosineSchedule(0.99, 1.0)
    for step in (0, 1, 250, 500, 999, 1000):
        expected = 1 - (1 - 0.99) * (math.cos(math.pi * step / 1000) + 1) / 2
        assert ema_decay.value_at(step, 1000) == pytest.approx(expected, abs=1e-15)
    assert float(ema_decay) == 0.99
    ema_decay.set_step(500, 1000)
    assert float(ema_decay) == pytest.approx(0.995)


def test_the_value_is_state_and_keeps_its_digits():
    """Seen to fail with a float32 buffer: 0.9996 came back as 0.99959999322."""
    ema_decay = CosineSchedule(0.9996, 1.0)
    ema_decay.set_step(10, 100)
    twin = CosineSchedule(0.5, 1.0).to(torch.bfloat16)
    twin.load_state_dict(ema_decay.state_dict())
    assert float(twin) == float(ema_decay)
    assert float(ema_decay.to(torch.float16).half()) == ema_decay.value_at(10, 100)


def test_a_constant_stays():
    ema_decay = ConstantSchedule(0.999)
    ema_decay.set_step(700, 1000)
    assert float(ema_decay) == 0.999


def test_a_line_ends_where_it_should():
    """Seen to fail with the part of the run ignored."""
    line = LinearSchedule(0.04, 0.07, until=0.3)
    values = [line.value_at(step, 100) for step in (0, 15, 30, 60, 100)]
    assert values == pytest.approx([0.04, 0.055, 0.07, 0.07, 0.07])
    assert float(line) == pytest.approx(0.04)
    with pytest.raises(ValueError, match="no part of the run"):
        LinearSchedule(0, 1, until=0)

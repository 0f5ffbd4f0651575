"""Tests of schedules against formulas, and of their state."""

import math

import pytest
import torch

from ssl_host import ConstantSchedule, CosineSchedule, LinearSchedule


def test_cosine_schedule_follows_the_formula_of_byol():
    """τ = 1 − (1 − τ₀)·(cos(πk/K) + 1)/2."""
    ema_decay = CosineSchedule(0.99, 1.0)
    for step in (0, 1, 250, 500, 999, 1000):
        expected = 1 - (1 - 0.99) * (math.cos(math.pi * step / 1000) + 1) / 2
        assert ema_decay.value_at(step, 1000) == pytest.approx(expected, abs=1e-15)
    assert float(ema_decay) == 0.99
    ema_decay.set_step(500, 1000)
    assert float(ema_decay) == pytest.approx(0.995)


def test_schedule_state_keeps_float64_digits():
    ema_decay = CosineSchedule(0.9996, 1.0)
    ema_decay.set_step(10, 100)
    twin = CosineSchedule(0.5, 1.0).to(torch.bfloat16)
    twin.load_state_dict(ema_decay.state_dict())
    assert float(twin) == float(ema_decay)
    assert float(ema_decay.to(torch.float16).half()) == ema_decay.value_at(10, 100)


def test_constant_schedule_keeps_its_value():
    ema_decay = ConstantSchedule(0.999)
    ema_decay.set_step(700, 1000)
    assert float(ema_decay) == 0.999


def test_linear_schedule_ends_at_its_fraction_of_the_run():
    line = LinearSchedule(0.04, 0.07, until=0.3)
    values = [line.value_at(step, 100) for step in (0, 15, 30, 60, 100)]
    assert values == pytest.approx([0.04, 0.055, 0.07, 0.07, 0.07])
    assert float(line) == pytest.approx(0.04)
    with pytest.raises(ValueError, match="until = -1"):
        LinearSchedule(0, 1, until=-1)


def test_linear_schedule_without_warm_up_has_its_end_from_the_start():
    line = LinearSchedule(0.04, 0.07, until=0)
    assert float(line) == line.value_at(0, 100) == line.value_at(50, 100) == 0.07


def test_linear_schedule_longer_than_the_run_does_not_reach_its_end():
    assert LinearSchedule(0.0, 1.0, until=4).value_at(100, 100) == pytest.approx(0.25)

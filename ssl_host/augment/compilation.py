"""Decorator that marks functions for compilation with numba, and helpers for kernels.

Importing numba takes more than half a second, and it is not needed on a GPU. So this module does
not import it: marked functions stay plain Python until :mod:`ssl_host.augment.kernels` compiles
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

f32 = np.float32
"""Type of all numbers in kernels; plain Python numbers would make the results float64."""

COMPILED: list[Callable[..., Any]] = []
"""Functions that :func:`compiled` has marked."""


def compiled(function: F) -> F:
    """Mark a function for compilation, so that kernels can call it; return it unchanged."""
    COMPILED.append(function)
    return function


def sample_uniform(sample: Any, salt: Any) -> Any:
    """Return a random number in [0, 1) for a sample and a salt, as ``CounterRNG.uniform`` does."""
    x = sample ^ salt
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = (x ^ (x >> np.uint64(31))) & np.uint64(0x7FFFFFFFFFFFFFFF)
    return f32(x >> np.uint64(39)) * f32(2.0**-24)


def sample_between(sample: Any, salt: Any, low: Any, high: Any) -> Any:
    """Return a random number in [low, high) for a sample and a salt."""
    return low + (high - low) * sample_uniform(sample, salt)


RANDOM_FUNCTIONS = (sample_uniform, sample_between)
"""Functions that draw random numbers for kernels; they are compiled with different options."""


@compiled
def clamp_unit(x: Any) -> Any:
    """Return a number, clamped to the range from 0 to 1."""
    return min(max(x, f32(0.0)), f32(1.0))

"""Random numbers that are a function of (seed, epoch, sample, view, parameter)."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from ssl_host.contracts.augmentation import SampleRNG

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


class CounterRNG:
    """A counter-based generator for a whole batch at once.

    Each number is splitmix64's finaliser (Steele et al., OOPSLA 2014, figure 15) of the five
    coordinates, so it depends neither on the batch a sample is in nor on what was drawn before.

    Args:
        index: B, int64, the samples' numbers; its device is the numbers' device.

    Attributes:
        samples: B, int64, the hash of seed, epoch and sample.
    """

    def __init__(self, seed: int, epoch: int, index: Tensor) -> None:
        # Each coordinate is mixed before the next one joins: added up, seed 1 of sample 0 would
        # be seed 0 of sample 1.
        base = _mix(_mix(_scalar(seed)) + _scalar(epoch)).to(index.device)
        self.samples = _mix(base + index.to(torch.int64) * _signed(_GOLDEN))

    def bits(self, view: int, parameter: str) -> Tensor:
        """B numbers of 63 random bits, int64, at least 0."""
        return _mix(self.samples ^ _signed(salt_of(view, parameter))) & (2**63 - 1)

    def uniform(self, view: int, parameter: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """B numbers in [low, high), float32."""
        # The top 24 bits: exactly what a float32 holds, so that 1 is never reached.
        unit = (self.bits(view, parameter) >> 39).to(torch.float32) * 2.0**-24
        return unit if (low, high) == (0.0, 1.0) else low + (high - low) * unit


class ChunkedRNG:
    """SampleRNG for a whole batch, handed out by chunk: a number is hashed once."""

    def __init__(self, rng: SampleRNG) -> None:
        self.rng = rng
        self.part = slice(None)
        self._kept: dict[tuple[int, str, float, float], Tensor] = {}

    def uniform(self, view: int, parameter: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        key = (view, parameter, low, high)
        if key not in self._kept:
            self._kept[key] = self.rng.uniform(*key)
        return self._kept[key][self.part]


@lru_cache(maxsize=4096)
def salt_of(view: int, parameter: str) -> int:
    """What tells a view's parameter from all others, 64 bits."""
    digest = hashlib.blake2b(parameter.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + (view + 1) * 0xA24BAED4963EE407) & _MASK


def _scalar(number: int) -> Tensor:
    """A coordinate on its way into the mix; 0 must not stay 0."""
    return torch.tensor(_signed((number + 1) * _GOLDEN))


def _signed(number: int) -> int:
    number &= _MASK
    return number - 2**64 if number >= 2**63 else number


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical shift to the right; torch's of int64 drags the sign along."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)

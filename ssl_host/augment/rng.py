"""Random numbers that depend only on seed, epoch, image index, view and parameter."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from ssl_host.contracts.augmentation import SampleRNG

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


class CounterRNG:
    """Counter-based random number generator for the images of a batch.

    Each number is a hash (splitmix64's finaliser, Steele et al., OOPSLA 2014, figure 15) of seed,
    epoch, image index, view and parameter, so it depends neither on the batch that contains an
    image nor on earlier draws.

    Args:
        seed: seed of the run.
        epoch: number of the epoch.
        index: (B,), int64, the indices of the images in the data set. The random numbers are
            created on its device.

    Attributes:
        samples: (B,), int64, a hash of seed, epoch and image index for each image.
    """

    def __init__(self, seed: int, epoch: int, index: Tensor) -> None:
        # Mix each coordinate before adding the next. In a plain sum, sample 0 with seed 1 would get
        # the same random numbers as sample 1 with seed 0.
        base = _mix(_mix(_scalar(seed)) + _scalar(epoch)).to(index.device)
        self.samples = _mix(base + index.to(torch.int64) * _signed(_GOLDEN))

    def bits(self, view: int, parameter: str) -> Tensor:
        """Return a random integer from 0 to 2**63 - 1 for each image, (B,), int64."""
        return _mix(self.samples ^ _signed(salt_of(view, parameter))) & (2**63 - 1)

    def uniform(self, view: int, parameter: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return a random number in [low, high) for each image, (B,), float32."""
        # float32 represents 24 bits exactly; rounding more bits could give 1.
        unit = (self.bits(view, parameter) >> 39).to(torch.float32) * 2.0**-24
        return unit if (low, high) == (0.0, 1.0) else low + (high - low) * unit


class ChunkedRNG:
    """Random number generator that draws for a whole batch once and returns numbers by chunk.

    So each number is computed only once, and not again for each chunk.

    Attributes:
        rows: slice of the batch for which :meth:`uniform` returns numbers.
    """

    def __init__(self, rng: SampleRNG) -> None:
        self.rng = rng
        self.rows = slice(None)
        self._cache: dict[tuple[int, str, float, float], Tensor] = {}

    def uniform(self, view: int, parameter: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return a random number in [low, high) for each image of the chunk, float32."""
        key = (view, parameter, low, high)
        if key not in self._cache:
            self._cache[key] = self.rng.uniform(*key)
        return self._cache[key][self.rows]


@lru_cache(maxsize=4096)
def salt_of(view: int, parameter: str) -> int:
    """Return the 64-bit number that identifies a parameter of a view in the hash."""
    digest = hashlib.blake2b(parameter.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + (view + 1) * 0xA24BAED4963EE407) & _MASK


def _scalar(number: int) -> Tensor:
    """Return a seed or epoch as an int64 tensor for :func:`_mix`.

    The number 0 becomes a nonzero value, because ``_mix(0)`` is 0.
    """
    return torch.tensor(_signed((number + 1) * _GOLDEN))


def _signed(number: int) -> int:
    """Return the signed 64-bit integer that has the same bits as a number."""
    number &= _MASK
    return number - 2**64 if number >= 2**63 else number


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift numbers right and fill with zeros; torch's ``>>`` on int64 copies the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """Hash each number with splitmix64's finaliser."""
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)

"""Random numbers that depend only on the seed, the epoch, the image and their name."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1
_POSITIVE = 2**63 - 1


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
        return _mix(self.samples ^ _signed(salt_of(view, parameter))) & _POSITIVE

    def uniform(self, view: int, parameter: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return a random number in [low, high) for each image, (B,), float32."""
        return _to_unit(self.bits(view, parameter), low, high)


class BatchRNG:
    """Generator of named random numbers for the images of a batch: ``batch.rng``.

    The numbers of an image depend only on seed, epoch, image index and name: they are the same in
    any batch, order, process and resumed run. Two draws with the same name return the same numbers.

    Args:
        seed: seed of the run.
        epoch: number of the epoch.
        index: (B,), int64, the indices of the images in the data set; the random numbers are
            created on its device.
        step: number of the optimizer step, for :meth:`shared_uniform`.
    """

    def __init__(self, seed: int, epoch: int, index: Tensor, step: int = 0) -> None:
        self.seed = seed
        self.epoch = epoch
        self.step = step
        self._samples = CounterRNG(seed, epoch, index).samples

    def uniform(
        self, name: str, count: int | None = None, low: float = 0.0, high: float = 1.0
    ) -> Tensor:
        """Return random numbers in [low, high) for each image, (B,) or (B, ``count``), float32."""
        return _to_unit(self._bits(name, count), low, high)

    def integers(self, name: str, high: int, count: int | None = None) -> Tensor:
        """Return random integers below ``high`` for each image, (B,) or (B, ``count``), int64."""
        return self._bits(name, count) % high

    def permutation(self, name: str, n: int) -> Tensor:
        """Return a random order of 0 to ``n`` - 1 for each image: (B, ``n``), int64."""
        # Sort integers, because 24-bit floats have ties, and ties favour the first positions.
        return self._bits(name, n).argsort(dim=1, stable=True)

    def shared_uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> float:
        """Return one random number in [low, high) for the current optimizer step.

        It depends on seed, step and name, so it is the same in all processes and micro-batches.
        """
        bits = _mix(_mix(_scalar(self.seed)) + _scalar(self.step)) ^ _signed(salt_of(-1, name))
        return float(_to_unit(_mix(bits) & _POSITIVE, low, high))

    def _bits(self, name: str, count: int | None) -> Tensor:
        """Return random integers from 0 to 2**63 - 1: (B,), or (B, ``count``), int64."""
        # View -1 keeps these numbers apart from those of the views.
        bits = _mix(self._samples ^ _signed(salt_of(-1, name)))
        if count is not None:
            steps = torch.arange(1, count + 1, device=bits.device) * _signed(_GOLDEN)
            bits = _mix(bits[:, None] + steps)
        return bits & _POSITIVE


@lru_cache(maxsize=4096)
def salt_of(view: int, parameter: str) -> int:
    """Return the 64-bit number that identifies a parameter of a view in the hash."""
    digest = hashlib.blake2b(parameter.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + (view + 1) * 0xA24BAED4963EE407) & _MASK


def _to_unit(bits: Tensor, low: float, high: float) -> Tensor:
    """Convert random integers from 0 to 2**63 - 1 to float32 numbers in [low, high)."""
    # float32 represents 24 bits exactly; rounding more bits could give 1.
    unit = (bits >> 39).to(torch.float32) * 2.0**-24
    return unit if (low, high) == (0.0, 1.0) else low + (high - low) * unit


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
    """Return numbers shifted right, filled with zeros; torch's ``>>`` copies the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """Return a hash of each number, by splitmix64's finaliser."""
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)

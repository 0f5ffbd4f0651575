"""Contract of augmentations: view specs, or a function on batches or images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from torch import Tensor

from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings

if TYPE_CHECKING:
    from ssl_host.augment.operations import ViewSpec


class SampleRNG(Protocol):
    """Random numbers that are a function of (seed, epoch, sample, view, parameter).

    They do not depend on the batch of a sample or on the number of processes.
    """

    def uniform(self, view: int, parameter: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return B numbers in [low, high), float32, one for each sample."""
        ...


class Augmentation(Component):
    """Base class of augmentations, which make the views. Override exactly one method.

    Use :meth:`view_specs` for everything that the operations of
    :class:`~ssl_host.ViewSpec` can express: it is the fastest, and it works with sources that
    crop images while they decode them.
    """

    kind: ClassVar[str] = "augmentation"
    build_args: ClassVar[tuple[str, ...]] = ("image_size", "channels")

    def __init__(self, config: Settings, *, image_size: int, channels: int = 3) -> None:
        self.config: Any = config
        self.image_size = image_size
        self.channels = channels
        self.setup()

    def view_specs(self) -> Sequence[ViewSpec]:
        """Return the specs of the views, full-size views first."""
        raise NotImplementedError

    def apply_batch(self, images: Tensor, rng: SampleRNG) -> list[Tensor]:
        """Return the views of a batch.

        Args:
            images: B C H W, float from 0 to 1.
            rng: source of all random numbers.

        Returns:
            One tensor B C H W for each view, from 0 to 1; the host normalises them.
        """
        raise NotImplementedError

    def apply_image(self, image: Tensor, rng: SampleRNG) -> list[Tensor]:
        """Return the views of one image C H W, float from 0 to 1, for transforms without batches.

        ``rng`` returns tensors of one number. The global generators of torch, numpy and Python
        are seeded from the same counter before each call, so that transforms of other libraries
        are repeatable too.
        """
        raise NotImplementedError

"""Base class of augmentations, which turn images into views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from torch import Tensor

from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings

if TYPE_CHECKING:
    from ssl_host.augment.operations import ViewSpec


class SampleRNG(Protocol):
    """Source of random numbers that depend only on seed, epoch, image, view and parameter name.

    They do not depend on the other images in the batch or on the number of processes.
    """

    def uniform(self, view: int, parameter: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return one random number in [low, high) for each of the B images: float32, shape (B,).

        Args:
            view: index of the view for which the numbers are drawn.
            parameter: name of the random parameter, such as ``"angle"``.
            low: smallest possible value.
            high: upper bound, not included.
        """
        ...


class Augmentation(Component):
    """Base class of augmentations, which make several random views of each image.

    A subclass overrides exactly one of :meth:`view_specs`, :meth:`apply_batch` and
    :meth:`apply_image`. Use :meth:`view_specs` whenever the operations of
    :class:`~ssl_host.ViewSpec` are enough: it is the fastest, and it works with sources that
    crop images while decoding them.
    """

    kind: ClassVar[str] = "augmentation"
    build_args: ClassVar[tuple[str, ...]] = ("image_size", "channels")

    def __init__(self, config: Settings, *, image_size: int, channels: int = 3) -> None:
        self.config: Any = config
        self.image_size = image_size
        self.channels = channels
        self.setup()

    def view_specs(self) -> Sequence[ViewSpec]:
        """Return a :class:`~ssl_host.ViewSpec` for each kind of view.

        ``count`` of a spec is the number of such views. The host puts full-size views first.
        """
        raise NotImplementedError

    def apply_batch(self, images: Tensor, rng: SampleRNG) -> list[Tensor]:
        """Return the views of a batch of images, one tensor for each view.

        Args:
            images: the images, shape (B, C, H, W), with floating-point values from 0 to 1.
            rng: source of all random numbers.

        Returns:
            One tensor (B, C, H, W) with values from 0 to 1 for each view. The host normalises them.
        """
        raise NotImplementedError

    def apply_image(self, image: Tensor, rng: SampleRNG) -> list[Tensor]:
        """Return the views of one image, one tensor for each view.

        Override this for transforms that cannot process a batch. Before each call the host also
        seeds the global generators of torch, numpy and Python, so that transforms from other
        libraries are reproducible too.

        Args:
            image: the image, shape (C, H, W), with floating-point values from 0 to 1.
            rng: source of all random numbers; it returns tensors of shape (1,).

        Returns:
            One tensor (C, H, W) with values from 0 to 1 for each view. The host normalises them.
        """
        raise NotImplementedError

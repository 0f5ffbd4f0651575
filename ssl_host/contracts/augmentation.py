"""What an augmentation is: view specs first, an executor second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings

Range = tuple[float, float]


@dataclass(frozen=True)
class ViewSpec:
    """How one kind of view is made. The defaults leave the image as it is, resized.

    The operations run in the order of the fields. Probabilities are from 0 to 1, and sizes and
    shifts are relative to the image unless pixels are named.

    Attributes:
        count: how many such views a batch gets.
        size: side of the view in pixels; None takes the image size of the data. A view smaller
            than that is local, in multi-crop's sense.
        crop_scale: area of the crop, relative to the image, drawn uniformly.
        crop_ratio: width over height of the crop, drawn log-uniformly.
        interpolation: how a crop is resized, always antialiased.
        rotate: largest rotation to either side, in degrees.
        translate: largest shift to either side, as a fraction of the side.
        shear: largest shear along x, to either side, in degrees.
        zoom: range of a uniform scaling about the centre (1 keeps the size).
        flip: probability of a horizontal flip.
        jitter: probability of the colour jitter as a whole.
        brightness, contrast, saturation, hue: its strengths, as in torchvision: a factor from
            1 - s to 1 + s (at least 0), the hue's shift from -s to s of the colour circle. The
            four are applied in a random order.
        grayscale: probability.
        blur: probability of the Gaussian blur.
        blur_sigma: its σ in pixels, drawn uniformly.
        blur_kernel: its side in pixels, odd; None takes a tenth of the view, rounded up to odd.
        solarize: probability of inverting everything at or above half intensity.
    """

    count: int = 1
    size: int | None = None
    crop_scale: Range = (1.0, 1.0)
    crop_ratio: Range = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    rotate: float = 0.0
    translate: float = 0.0
    shear: float = 0.0
    zoom: Range = (1.0, 1.0)
    flip: float = 0.0
    jitter: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0
    blur_sigma: Range = (0.1, 2.0)
    blur_kernel: int | None = None
    solarize: float = 0.0

    @property
    def has_affine(self) -> bool:
        """Whether there is a small affine map to make."""
        return bool(self.rotate or self.translate or self.shear or self.zoom != (1.0, 1.0))


class SampleRNG(Protocol):
    """Random numbers that are a function of (seed, epoch, sample, view, parameter).

    They depend neither on the batch a sample is in nor on the number of processes.
    """

    def uniform(self, view: int, parameter: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """B numbers in [low, high), float32, one a sample."""
        ...


class Augmentation(Component):
    """Makes the views. Override exactly one of the three methods.

    :meth:`view_specs` is the way for anything that the engine's operations can express: it is
    the fastest, it works with sources that crop while they decode, and the report can show it.
    """

    kind: ClassVar[str] = "augmentation"
    build_args: ClassVar[tuple[str, ...]] = ("image_size", "channels")

    def __init__(self, config: Settings, *, image_size: int, channels: int = 3) -> None:
        self.config: Any = config
        self.image_size = image_size
        self.channels = channels
        self.setup()

    def view_specs(self) -> Sequence[ViewSpec]:
        """The views, full-size ones first."""
        raise NotImplementedError

    def apply_batch(self, images: Tensor, rng: SampleRNG) -> list[Tensor]:
        """Views of a batch.

        Args:
            images: B C H W, float from 0 to 1.
            draws: the source of every random number.

        Returns:
            One tensor B C H W a view, from 0 to 1; the host normalises them.
        """
        raise NotImplementedError

    def apply_image(self, image: Tensor, rng: SampleRNG) -> list[Tensor]:
        """Views of one image C H W, float from 0 to 1, for transforms that take no batches.

        ``draws`` gives tensors of one number. Global random numbers (torch's, numpy's,
        Python's) are seeded from the same counter before each call, so that transforms of
        other libraries are repeatable too.
        """
        raise NotImplementedError

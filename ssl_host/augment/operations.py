"""View specs, and the table of operations on the pixels of a view.

A view is made in two steps. The first is geometric: a crop, a flip and an affine transform, which
both backends build into their resampling (``geometry.py`` and ``kernels.py``). The second applies
the operations on pixels, in the order of the fields of :class:`ViewSpec`. A field annotated with an
:class:`Operation` is the probability of that operation and gives it its name. Validation, random
numbers, both backends and the settings of the built-in augmentations are derived from these
annotations. To add an operation, you only change this module: write a function for batches and a
kernel, and add fields to ``ViewSpec``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_type_hints

import torch
from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo
from torch import Tensor

from ssl_host.augment import colour
from ssl_host.augment.blur import blur, compiled_blur
from ssl_host.augment.compilation import compiled, f32
from ssl_host.augment.jitter import JITTER_RANDOM, compiled_jitter, compiled_saturation, jitter


@dataclass(frozen=True)
class Operation:
    """Random operation on the pixels of a view.

    Attributes:
        apply: function for batches: ``apply(images, spec, draw)`` returns the changed images.
            ``images`` are the randomly selected images, (B, C, H, W), float from 0 to 1, and
            ``draw(name, low, high)`` returns one random number for each of them.
        kernel: function for single views: ``kernel(view, spec, sample, salts, scratch)`` changes a
            view (C, H, W), float32, in place. ``spec`` has the fields of :class:`ViewSpec` as
            numbers, ``salts`` has one salt for each name in ``random``, and ``scratch`` is an
            array with the view's shape for intermediate results.
        random: names of the random numbers that the operation draws, except the number that
            decides whether it is applied.
    """

    apply: Callable[[Tensor, Any, Callable[..., Tensor]], Tensor]
    kernel: Callable[..., None]
    random: tuple[str, ...] = ()


def grayscale(images: Tensor, _spec: ViewSpec, _draw: Callable[..., Tensor]) -> Tensor:
    """Convert the images to grayscale, with the same number of channels as before."""
    return colour.grayscale(images)


@compiled
def compiled_grayscale(view: Any, _spec: Any, _sample: Any, _salts: Any, _scratch: Any) -> None:
    """Convert one view to grayscale in place, as :func:`grayscale` does."""
    if view.shape[0] == 3:
        compiled_saturation(view.reshape(3, view.shape[1] * view.shape[2]), f32(0.0))


def solarize(images: Tensor, _spec: ViewSpec, _draw: Callable[..., Tensor]) -> Tensor:
    """Return the images with all values of 0.5 or more inverted."""
    return torch.where(images >= 0.5, 1 - images, images)


@compiled
def compiled_solarize(view: Any, _spec: Any, _sample: Any, _salts: Any, _scratch: Any) -> None:
    """Solarize one view in place, as :func:`solarize` does."""
    for c in range(view.shape[0]):
        for y in range(view.shape[1]):
            for x in range(view.shape[2]):
                value = view[c, y, x]
                if value >= f32(0.5):
                    view[c, y, x] = f32(1.0) - value


def posterize(images: Tensor, spec: ViewSpec, _draw: Callable[..., Tensor]) -> Tensor:
    """Return images with ``spec.posterize_bits`` bits per channel, as in torchvision."""
    levels = 1 << spec.posterize_bits
    return (images * levels).floor().clamp(0, levels - 1) / levels


@compiled
def compiled_posterize(view: Any, spec: Any, _sample: Any, _salts: Any, _scratch: Any) -> None:
    """Posterize one view in place, as :func:`posterize` does."""
    levels = 1 << spec.posterize_bits
    for c in range(view.shape[0]):
        for y in range(view.shape[1]):
            for x in range(view.shape[2]):
                level = min(math.floor(view[c, y, x] * f32(levels)), levels - 1)
                view[c, y, x] = f32(level) / f32(levels)


def _require_positive_range(limits: tuple[float, float]) -> tuple[float, float]:
    """Return the range; raise ValueError unless its limits are positive and ascending."""
    if not 0 < limits[0] <= limits[1]:
        raise ValueError("expected two numbers above 0, the smaller one first")
    return limits


def _require_fraction_range(limits: tuple[float, float]) -> tuple[float, float]:
    """Return the range; raise ValueError unless its limits are ascending fractions above 0."""
    if limits[1] > 1:
        raise ValueError("the upper limit must be at most 1, which means the whole image")
    return _require_positive_range(limits)


def _require_odd(number: int | None) -> int | None:
    """Return the number; raise ValueError if it is even."""
    if number is not None and number % 2 == 0:
        raise ValueError("must be an odd number")
    return number


def _text(description: str) -> FieldInfo:
    """Return pydantic's metadata for a field without limits: its description."""
    return Field(description=description)  # type: ignore[no-any-return]


def _between(low: float, high: float, description: str) -> FieldInfo:
    """Return pydantic's metadata for a field: its limits and its description."""
    return Field(ge=low, le=high, description=description)  # type: ignore[no-any-return]


def _probability(event: str) -> FieldInfo:
    """Return pydantic's metadata for a field that is the probability of an event."""
    return _between(0, 1, f"probability of {event}")


Range = tuple[float, float]
PositiveRange = Annotated[Range, AfterValidator(_require_positive_range)]
FractionRange = Annotated[Range, AfterValidator(_require_fraction_range)]


@dataclass(frozen=True)
class ViewSpec:
    """Settings of one kind of view; the defaults only resize the image's centred square.

    Colour jitter works as in torchvision: a strength s means a random factor from 1 - s (at least
    0) to 1 + s or, for the hue, a random shift from -s to s of the colour circle. The changes are
    applied in random order. Solarizing and grayscale also work as in torchvision.

    Attributes:
    """

    count: Annotated[
        int, Field(ge=1, description="number of views of this kind for each image")
    ] = 1
    size: Annotated[
        int | None,
        Field(ge=1, description="side of the view in pixels; default: the image size of the data"),
    ] = None

    crop_scale: Annotated[
        FractionRange, _text("range of the crop's area as a fraction of the image, drawn uniformly")
    ] = (1.0, 1.0)
    crop_ratio: Annotated[
        PositiveRange, _text("range of the crop's width divided by its height, drawn log-uniformly")
    ] = (3 / 4, 4 / 3)
    interpolation: Annotated[
        Literal["bilinear", "bicubic"],
        _text("interpolation for resizing crops, always antialiased"),
    ] = "bilinear"
    rotate: Annotated[
        float, _between(0, 180, "largest rotation in either direction, in degrees")
    ] = 0.0
    translate: Annotated[
        float, _between(0, 1, "largest shift along each axis, as a fraction of the view's side")
    ] = 0.0
    shear: Annotated[float, _between(0, 80, "largest shear along x, in degrees")] = 0.0
    zoom: Annotated[
        PositiveRange, _text("range of the factor that scales the view about its centre")
    ] = (1.0, 1.0)
    flip: Annotated[float, _probability("a horizontal flip")] = 0.0

    jitter: Annotated[
        float,
        _probability("colour jitter"),
        Operation(jitter, compiled_jitter, JITTER_RANDOM),
    ] = 0.0
    brightness: Annotated[
        float, _between(0, 4, "strength s of the brightness jitter: a factor from 1 - s to 1 + s")
    ] = 0.0
    contrast: Annotated[
        float, _between(0, 4, "strength s of the contrast jitter: a factor from 1 - s to 1 + s")
    ] = 0.0
    saturation: Annotated[
        float, _between(0, 4, "strength s of the saturation jitter: a factor from 1 - s to 1 + s")
    ] = 0.0
    hue: Annotated[
        float, _between(0, 0.5, "largest shift of the hue, as a fraction of the colour circle")
    ] = 0.0

    grayscale: Annotated[
        float, _probability("conversion to grayscale"), Operation(grayscale, compiled_grayscale)
    ] = 0.0

    blur: Annotated[
        float, _probability("Gaussian blur"), Operation(blur, compiled_blur, ("sigma",))
    ] = 0.0
    blur_sigma: Annotated[
        PositiveRange, _text("range of the blur's standard deviation in pixels, drawn uniformly")
    ] = (0.1, 2.0)
    blur_kernel: Annotated[
        int | None,
        Field(
            ge=1,
            description="kernel size of the blur in pixels, odd; default: a tenth of the view's "
            "side, at least 3",
        ),
        AfterValidator(_require_odd),
    ] = None

    solarize: Annotated[
        float, _probability("solarizing"), Operation(solarize, compiled_solarize)
    ] = 0.0

    posterize: Annotated[
        float, _probability("posterizing"), Operation(posterize, compiled_posterize)
    ] = 0.0
    posterize_bits: Annotated[
        int, Field(ge=1, le=8, description="number of bits per channel that posterizing keeps")
    ] = 4

    @property
    def has_affine(self) -> bool:
        """Return True if the view is rotated, shifted, sheared or zoomed."""
        return bool(self.rotate or self.translate or self.shear or self.zoom != (1.0, 1.0))


_HINTS = get_type_hints(ViewSpec, include_extras=True)

OPERATIONS: dict[str, Operation] = {
    field.name: metadata
    for field in fields(ViewSpec)
    for metadata in getattr(_HINTS[field.name], "__metadata__", ())
    if isinstance(metadata, Operation)
}
"""Operations on the pixels of a view, keyed by name, in the order of application."""


def _describe_fields() -> str:
    """Return the attribute list for the docstring of :class:`ViewSpec`."""
    lines = []
    for field in fields(ViewSpec):
        infos = [m for m in _HINTS[field.name].__metadata__ if isinstance(m, FieldInfo)]
        lines.append(f"        {field.name}: {infos[0].description}.\n")
    return "".join(lines)


ViewSpec.__doc__ = f"{(ViewSpec.__doc__ or '').rstrip()}\n{_describe_fields()}    "

"""Colour jitter: a function for batches of images, and a compiled kernel for single views."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ssl_host.augment import colour
from ssl_host.augment.compilation import clamp_unit, compiled, f32, sample_between, sample_uniform
from ssl_host.augment.rows import apply_to_rows

if TYPE_CHECKING:
    from ssl_host.augment.operations import ViewSpec

_CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": colour.brightness,
    "contrast": colour.contrast,
    "saturation": colour.saturation,
    "hue": colour.hue,
}

JITTER_RANDOM = (*(f"order_{name}" for name in _CHANGES), *_CHANGES)
"""Names of the random numbers that the jitter draws.

Each of the four changes draws a sort key, which determines the order, and an amount.
"""


def jitter(images: Tensor, spec: ViewSpec, draw: Callable[..., Tensor]) -> Tensor:
    """Return images with randomly changed brightness, contrast, saturation and hue.

    The order of the four changes is random for each image. The arguments are described in
    :attr:`ssl_host.augment.operations.Operation.apply`.
    """
    names = tuple(_CHANGES) if images.shape[1] == 3 else ("brightness", "contrast")
    active = [name for name in names if getattr(spec, name) > 0]
    if not active:
        return images
    # Sorting one random key for each change gives a uniformly random order.
    order = torch.stack([draw(f"order_{name}") for name in active]).argsort(dim=0)
    changes = [_change_rows(name, _draw_amount(name, getattr(spec, name), draw)) for name in active]
    for turn in order:
        for i, change in enumerate(changes):
            images = apply_to_rows(images, turn == i, change)
    return images


def _draw_amount(name: str, strength: float, draw: Callable[..., Tensor]) -> Tensor:
    """Return a random amount for each image: a shift for the hue, a factor for the others."""
    if name == "hue":
        return draw(name, -strength, strength)
    return draw(name, max(0.0, 1 - strength), 1 + strength)


def _change_rows(name: str, amount: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that applies a colour change to selected images of the batch."""
    return lambda images, rows: _CHANGES[name](images, amount[rows])


@compiled
def compiled_jitter(view: Any, spec: Any, sample: Any, salts: Any, _scratch: Any) -> None:
    """Jitter the colours of one view like :func:`jitter`, but in place."""
    pixels = view.reshape(view.shape[0], view.shape[1] * view.shape[2])
    is_colour = view.shape[0] == 3
    strengths = (spec.brightness, spec.contrast, spec.saturation, spec.hue)
    amount_salts = (salts.brightness, salts.contrast, salts.saturation, salts.hue)
    order_salts = (
        salts.order_brightness,
        salts.order_contrast,
        salts.order_saturation,
        salts.order_hue,
    )
    done = 0
    for _ in range(4):
        # Find the active change with the smallest key that has not been applied yet.
        best, least = -1, f32(2.0)
        for i in range(4 if is_colour else 2):
            if strengths[i] > f32(0.0) and not (done >> i) & 1:
                key = sample_uniform(sample, order_salts[i])
                if key < least:
                    best, least = i, key
        if best < 0:
            return
        done |= 1 << best
        strength = strengths[best]
        if best == 3:
            compiled_hue(pixels, sample_between(sample, amount_salts[best], -strength, strength))
            continue
        low = max(f32(0.0), f32(1.0) - strength)
        factor = sample_between(sample, amount_salts[best], low, f32(1.0) + strength)
        if best == 0:
            compiled_brightness(pixels, factor)
        elif best == 1:
            compiled_contrast(pixels, factor)
        else:
            compiled_saturation(pixels, factor)


@compiled
def compiled_luma(pixels: Any, i: Any) -> Any:
    """Return the brightness (ITU-R 601) of pixel ``i``; ``pixels`` is (3, H·W)."""
    return f32(0.2989) * pixels[0, i] + f32(0.587) * pixels[1, i] + f32(0.114) * pixels[2, i]


@compiled
def compiled_brightness(pixels: Any, factor: Any) -> None:
    """Change the brightness of one view (C, H·W) in place, as ``colour.brightness`` does."""
    for c in range(pixels.shape[0]):
        for i in range(pixels.shape[1]):
            pixels[c, i] = clamp_unit(pixels[c, i] * factor)


@compiled
def compiled_contrast(pixels: Any, factor: Any) -> None:
    """Change the contrast of one view (C, H·W) in place, as ``colour.contrast`` does."""
    total = f32(0.0)
    if pixels.shape[0] == 3:
        for i in range(pixels.shape[1]):
            total += compiled_luma(pixels, i)
    else:
        for i in range(pixels.shape[1]):
            total += pixels[0, i]
    mean = (f32(1.0) - factor) * (total / f32(pixels.shape[1]))
    for c in range(pixels.shape[0]):
        for i in range(pixels.shape[1]):
            pixels[c, i] = clamp_unit(mean + factor * pixels[c, i])


@compiled
def compiled_saturation(pixels: Any, factor: Any) -> None:
    """Change the saturation of one view (3, H·W) in place, as ``colour.saturation`` does."""
    for i in range(pixels.shape[1]):
        gray = (f32(1.0) - factor) * compiled_luma(pixels, i)
        for c in range(3):
            pixels[c, i] = clamp_unit(gray + factor * pixels[c, i])


@compiled
def compiled_hue(pixels: Any, shift: Any) -> None:
    """Shift the hue of one view (3, H·W) in place, as ``colour.hue`` does."""
    turned = f32(6.0) * shift
    for i in range(pixels.shape[1]):
        r, g, b = pixels[0, i], pixels[1, i], pixels[2, i]
        top = max(r, g, b)
        chroma = top - min(r, g, b)
        divisor = chroma if chroma > f32(0.0) else f32(1.0)
        if r == top:
            angle = (g - b) / divisor
        elif g == top:
            angle = f32(2.0) + (b - r) / divisor
        else:
            angle = f32(4.0) + (r - g) / divisor
        angle += turned
        pixels[0, i] = top - chroma * compiled_ramp(f32(5.0) + angle)
        pixels[1, i] = top - chroma * compiled_ramp(f32(3.0) + angle)
        pixels[2, i] = top - chroma * compiled_ramp(f32(1.0) + angle)


@compiled
def compiled_ramp(angle: Any) -> Any:
    """Return how far a channel is below the largest channel, as a fraction of the chroma.

    Args:
        angle: angle on the colour circle, in sixths of the circle.
    """
    k = angle - f32(6.0) * f32(math.floor(angle * f32(1.0 / 6.0)))
    return clamp_unit(min(k, f32(4.0) - k))

"""A view spec applied to images, geometry first, then everything else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.augment import blur, colour
from ssl_host.augment.geometry import affine, crop_boxes, crop_resize
from ssl_host.contracts.augmentation import SampleRNG, ViewSpec


def cropped(images: Tensor, rng: SampleRNG, number: int, spec: ViewSpec) -> Tensor:
    """Crop, flip and small affine maps of uint8 images B C H W; float from 0 to 1."""
    height, width = images.shape[2:]
    if spec.crop_scale == (1.0, 1.0) and spec.size == height == width:
        return resized(images, rng, number, spec)
    boxes = _boxes(images, rng, number, spec)
    flip = rng.uniform(number, "flip") < spec.flip if spec.flip > 0 else None
    assert spec.size is not None
    view = crop_resize(images, boxes, spec.size, spec.interpolation, flip)
    return _placed(view, rng, number, spec)


def crop_bytes(image: Tensor, rng: SampleRNG, number: int, spec: ViewSpec) -> Tensor:
    """The crop alone of one image 1 C H W of any size, uint8, for workers that decode.

    The same box as :func:`cropped`; rounded back to bytes, as torchvision's own crop is.
    """
    assert spec.size is not None
    top, left, height, width = _boxes(image, rng, number, spec)[0].tolist()
    cut = image[:, :, top : top + height, left : left + width]
    return functional.interpolate(
        cut, size=(spec.size, spec.size), mode=spec.interpolation, antialias=True
    )


def _boxes(images: Tensor, rng: SampleRNG, number: int, spec: ViewSpec) -> Tensor:
    height, width = images.shape[2:]
    if spec.crop_scale != (1.0, 1.0):
        return crop_boxes(spec, rng, number, height, width)
    side = min(height, width)  # the whole image, undistorted: the centred square
    box = torch.tensor([(height - side) // 2, (width - side) // 2, side, side])
    return box.to(images.device).expand(len(images), 4)


def resized(crops: Tensor, rng: SampleRNG, number: int, spec: ViewSpec) -> Tensor:
    """Flip and small affine maps of uint8 images that have the view's size already."""
    return _placed(_flipped(crops.float() / 255, rng, number, spec), rng, number, spec)


def _flipped(images: Tensor, rng: SampleRNG, number: int, spec: ViewSpec) -> Tensor:
    if spec.flip == 0:
        return images
    flip = rng.uniform(number, "flip") < spec.flip
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def _placed(images: Tensor, rng: SampleRNG, number: int, spec: ViewSpec) -> Tensor:
    if not spec.has_affine:
        return images
    side = images.shape[3]

    def either(name: str, reach: float) -> Tensor:
        return rng.uniform(number, name, -reach, reach)

    shift = torch.stack([either("shift_x", spec.translate), either("shift_y", spec.translate)], 1)
    return affine(
        images,
        either("rotate", spec.rotate),
        shift * side,
        either("shear", spec.shear),
        rng.uniform(number, "zoom", *spec.zoom),
    )


def recolour(images: Tensor, rng: SampleRNG, number: int, spec: ViewSpec) -> Tensor:
    """Everything after the geometry; only the samples that were chosen are touched."""
    if spec.jitter > 0:
        images = _jitter(images, rng, number, spec)
    for name, chance, change in (
        ("grayscale", spec.grayscale, lambda x, _: colour.grayscale(x)),
        ("blur", spec.blur, lambda x, rows: _blur(x, rows, rng, number, spec)),
        ("solarize", spec.solarize, lambda x, _: colour.solarize(x)),
    ):
        if chance > 0:
            chosen = rng.uniform(number, name) < chance
            images = _where(images, chosen, change)
    return images


def _blur(images: Tensor, rows: Tensor, rng: SampleRNG, number: int, spec: ViewSpec) -> Tensor:
    sigma = rng.uniform(number, "sigma", *spec.blur_sigma)[rows]
    assert spec.blur_kernel is not None
    return blur.gaussian_blur(images, sigma, spec.blur_kernel)


_JITTER: tuple[tuple[str, Callable[[Tensor, Tensor], Tensor]], ...] = (
    ("brightness", colour.brightness),
    ("contrast", colour.contrast),
    ("saturation", colour.saturation),
    ("hue", colour.hue),
)


def _jitter(images: Tensor, rng: SampleRNG, number: int, spec: ViewSpec) -> Tensor:
    active = [(name, change) for name, change in _JITTER if getattr(spec, name) > 0]
    if images.shape[1] != 3:
        active = [(name, change) for name, change in active if name in ("brightness", "contrast")]
    if not active:
        return images
    chosen = rng.uniform(number, "jitter") < spec.jitter
    # Sorting one number an operation is a uniformly drawn order of them.
    keys = torch.stack([rng.uniform(number, f"order_{name}") for name, _ in active])
    order = keys.argsort(dim=0)
    for turn in order:
        for i, (name, change) in enumerate(active):
            strength = getattr(spec, name)
            if name == "hue":
                amount = rng.uniform(number, name, -strength, strength)
            else:
                amount = rng.uniform(number, name, max(0.0, 1 - strength), 1 + strength)
            images = _where(images, chosen & (turn == i), _at_rows(change, amount))
    return images


def _at_rows(
    change: Callable[[Tensor, Tensor], Tensor], amount: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda images, rows: change(images, amount[rows])


def _where(images: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Apply a change to the chosen rows, in place where there is something to choose."""
    rows = chosen.nonzero().squeeze(1)
    if len(rows) == 0:
        return images
    if len(rows) == len(images):
        return change(images, rows)
    images[rows] = change(images[rows], rows)
    return images

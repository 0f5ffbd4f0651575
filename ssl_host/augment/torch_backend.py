"""Make views with torch operations on whole batches, mainly on a GPU.

On a CPU, the compiled kernel processes images with one or three channels instead. These functions
are its reference implementation: tests compare the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.augment.geometry import affine, crop_boxes, crop_resize
from ssl_host.augment.operations import OPERATIONS, ViewSpec
from ssl_host.augment.rows import apply_to_rows
from ssl_host.contracts.augmentation import SampleRNG

CHUNK_BYTES = 4 * 2**20
"""Size of the chunks in which a CPU processes a batch, in bytes; a chunk fits in the cache."""


def render_view(
    images: Tensor,
    rng: SampleRNG,
    view: int,
    spec: ViewSpec,
    mean: Sequence[float],
    std: Sequence[float],
    crop: bool,
) -> Tensor:
    """Return one normalised view of each image.

    Args:
        images: (B, C, H, W), uint8.
        rng: source of the random numbers.
        view: index of the view.
        spec: the spec of the view.
        mean: mean of each channel, for pixels from 0 to 1.
        std: standard deviation of each channel, for pixels from 0 to 1.
        crop: False if the images have already been cropped.

    Returns:
        (B, C, S, S), float32.
    """
    size, channels, device = spec.size or images.shape[2], images.shape[1], images.device
    out = torch.empty(len(images), channels, size, size, device=device, dtype=torch.float32)
    image_bytes = 4 * channels * max(size * size, images.shape[2] * images.shape[3])
    step = max(1, CHUNK_BYTES // image_bytes) if device.type == "cpu" else len(images)
    offset = torch.tensor(tuple(mean), device=device, dtype=torch.float32).view(1, -1, 1, 1)
    scale = 1 / torch.tensor(tuple(std), device=device, dtype=torch.float32).view(1, -1, 1, 1)
    chunked = ChunkedRNG(rng)
    transform = crop_view if crop else flip_view
    for start in range(0, len(images), step):
        rows = slice(start, min(start + step, len(images)))
        chunked.rows = rows
        pixels = transform(images[rows], chunked, view, spec)
        pixels = apply_operations(pixels, chunked, view, spec)
        torch.mul(pixels - offset, scale, out=out[rows])
    return out


def crop_view(images: Tensor, rng: SampleRNG, view: int, spec: ViewSpec) -> Tensor:
    """Return uint8 images cropped, flipped and affinely transformed, as floats from 0 to 1."""
    height, width = images.shape[2:]
    if spec.crop_scale == (1.0, 1.0) and spec.size == height == width:
        return flip_view(images, rng, view, spec)
    boxes = _crop_boxes(images, rng, view, spec)
    flip = rng.uniform(view, "flip") < spec.flip if spec.flip > 0 else None
    assert spec.size is not None
    pixels = crop_resize(images, boxes, spec.size, spec.interpolation, flip)
    return _affine(pixels, rng, view, spec)


def crop_bytes(image: Tensor, rng: SampleRNG, view: int, spec: ViewSpec) -> Tensor:
    """Return a crop of one uint8 image (1, C, H, W), resized to the size of the view, as uint8.

    Workers that decode images use this. The crop box is the same as in :func:`crop_view`; pixel
    values are rounded to integers, as in torchvision's ``resized_crop``.
    """
    assert spec.size is not None
    top, left, height, width = _crop_boxes(image, rng, view, spec)[0].tolist()
    box = image[:, :, top : top + height, left : left + width]
    return functional.interpolate(
        box, size=(spec.size, spec.size), mode=spec.interpolation, antialias=True
    )


def _crop_boxes(images: Tensor, rng: SampleRNG, view: int, spec: ViewSpec) -> Tensor:
    """Return the crop box of each image, (B, 4): random, or the centred square."""
    height, width = images.shape[2:]
    if spec.crop_scale != (1.0, 1.0):
        return crop_boxes(spec, rng, view, height, width)
    side = min(height, width)
    box = torch.tensor([(height - side) // 2, (width - side) // 2, side, side])
    return box.to(images.device).expand(len(images), 4)


def flip_view(images: Tensor, rng: SampleRNG, view: int, spec: ViewSpec) -> Tensor:
    """Return uint8 images flipped and affinely transformed, as floats from 0 to 1.

    The images must already have the size of the view.
    """
    pixels = images.float() / 255
    if spec.flip > 0:
        flip = rng.uniform(view, "flip") < spec.flip
        pixels = torch.where(flip[:, None, None, None], pixels.flip(3), pixels)
    return _affine(pixels, rng, view, spec)


def _affine(pixels: Tensor, rng: SampleRNG, view: int, spec: ViewSpec) -> Tensor:
    """Return images after a random affine transform, if the spec has one."""
    if not spec.has_affine:
        return pixels
    side = pixels.shape[3]

    def draw(name: str, limit: float) -> Tensor:
        return rng.uniform(view, name, -limit, limit)

    shift = torch.stack([draw("shift_x", spec.translate), draw("shift_y", spec.translate)], 1)
    return affine(
        pixels,
        draw("rotate", spec.rotate),
        shift * side,
        draw("shear", spec.shear),
        rng.uniform(view, "zoom", *spec.zoom),
    )


def apply_operations(pixels: Tensor, rng: SampleRNG, view: int, spec: ViewSpec) -> Tensor:
    """Return images after each operation of ``OPERATIONS`` on a random subset of them."""
    for name, operation in OPERATIONS.items():
        probability = getattr(spec, name)
        if probability > 0:
            selected = rng.uniform(view, name) < probability
            change = _change_rows(operation.apply, rng, view, spec)
            pixels = apply_to_rows(pixels, selected, change)
    return pixels


def _change_rows(
    apply: Callable[[Tensor, ViewSpec, Callable[..., Tensor]], Tensor],
    rng: SampleRNG,
    view: int,
    spec: ViewSpec,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that applies an operation to selected images of the batch."""

    def change(pixels: Tensor, rows: Tensor) -> Tensor:
        def draw(name: str, low: float = 0.0, high: float = 1.0) -> Tensor:
            return rng.uniform(view, name, low, high)[rows]

        return apply(pixels, spec, draw)

    return change


class ChunkedRNG:
    """Random number generator that draws once for a batch and returns the numbers by chunk.

    Each number is thus computed only once, not again for each chunk.

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

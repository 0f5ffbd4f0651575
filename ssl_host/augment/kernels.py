"""Numba kernel that makes one view of one image in a single pass.

It computes the same operations as the reference implementation in
:mod:`ssl_host.augment.torch_backend`. One view fits in the L1 cache of a CPU but a batch does not,
so this is several times faster than applying each operation to the whole batch. All arithmetic is
in float32, except for the pixel positions of a resize. This module contains the geometry; the pixel
operations come from the table in :mod:`ssl_host.augment.operations`.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from ssl_host.augment.compilation import (
    COMPILED,
    RANDOM_FUNCTIONS,
    f32,
    sample_between,
    sample_uniform,
)
from ssl_host.augment.geometry import MAX_CROP_TRIES
from ssl_host.augment.operations import OPERATIONS

_OPTIONS: Any = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz", "arcp"}}

for _function in COMPILED:
    register_jitable(**_OPTIONS)(_function)
for _function in RANDOM_FUNCTIONS:
    # No reassociation here, because the bits of a random number must not depend on inlining.
    register_jitable(nogil=True, fastmath={"contract"})(_function)


@njit(**_OPTIONS)
def _draw_box(sample, salts, spec, height, width):
    """Draw a random crop and return its top, left, height and width, in pixels.

    If the spec has no random crop, return the largest centred square.
    """
    if not spec.has_crop:
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side
    area = f32(height * width)
    for i in range(MAX_CROP_TRIES):
        scale = sample_between(sample, salts.scale[i], spec.crop_scale[0], spec.crop_scale[1])
        ratio = f32(
            math.exp(sample_between(sample, salts.ratio[i], spec.log_ratio[0], spec.log_ratio[1]))
        )
        box_width = int(np.rint(f32(math.sqrt(area * scale * ratio))))
        box_height = int(np.rint(f32(math.sqrt(area * scale / ratio))))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = math.floor(sample_uniform(sample, salts.top) * f32(height - box_height + 1))
            left = math.floor(sample_uniform(sample, salts.left) * f32(width - box_width + 1))
            return top, left, box_height, box_width
    return spec.central_box


@njit(**_OPTIONS)
def _resize_weights(extent, size, cubic, weights, first, count):
    """Compute the antialiased weights that resize one axis, as in Pillow.

    Args:
        extent: number of input pixels.
        size: number of output pixels.
        cubic: True for bicubic weights, False for bilinear ones.
        weights: array to fill; row i gets the weights of output pixel i.
        first: array to fill with the index of the first input pixel of each output pixel.
        count: array to fill with the number of input pixels of each output pixel.
    """
    scale = extent / size
    stretch = max(scale, 1.0)
    radius = 2.0 if cubic else 1.0
    for i in range(size):
        centre = (i + 0.5) * scale
        low = max(math.floor(centre - radius * stretch + 0.5), 0)
        high = min(math.floor(centre + radius * stretch + 0.5), extent)
        total = f32(0.0)
        for k in range(low, high):
            x = f32(abs((k - centre + 0.5) / stretch))
            if not cubic:
                value = max(f32(1.0) - x, f32(0.0))
            elif x < f32(1.0):
                value = (f32(1.5) * x - f32(2.5)) * x * x + f32(1.0)
            elif x < f32(2.0):
                value = (((x - f32(5.0)) * x + f32(8.0)) * x - f32(4.0)) * f32(-0.5)
            else:
                value = f32(0.0)
            weights[i, k - low] = value
            total += value
        for k in range(high - low):
            weights[i, k] /= total
        first[i] = low
        count[i] = high - low


@njit(**_OPTIONS)
def _crop(image, box, size, cubic, flip, out):
    """Crop a uint8 image, resize the crop, and write it to ``out`` as floats from 0 to 1.

    The result is flipped horizontally if ``flip`` is True.
    """
    top, left, box_height, box_width = box
    longest = max(box_height, box_width)
    taps = min(longest, int(2.0 * (2.0 if cubic else 1.0) * max(longest / size, 1.0)) + 3)
    weights = np.empty((size, taps), np.float32)
    first, count = np.empty(size, np.int64), np.empty(size, np.int64)
    rows = np.empty((size, box_width), np.float32)
    across = np.empty((size, taps), np.float32)
    first_across, count_across = np.empty(size, np.int64), np.empty(size, np.int64)
    _resize_weights(box_height, size, cubic, weights, first, count)
    _resize_weights(box_width, size, cubic, across, first_across, count_across)
    unit = f32(1.0 / 255.0)
    for c in range(image.shape[0]):
        for i in range(size):
            row = rows[i]
            row[:] = f32(0.0)
            for k in range(count[i]):
                weight = weights[i, k] * unit
                source = image[c, top + first[i] + k]
                for x in range(box_width):
                    row[x] += weight * f32(source[left + x])
        for i in range(size):
            row = rows[i]
            for j in range(size):
                total = f32(0.0)
                for k in range(count_across[j]):
                    total += across[j, k] * row[first_across[j] + k]
                total = min(max(total, f32(0.0)), f32(1.0))
                out[c, i, size - 1 - j if flip else j] = total


@njit(**_OPTIONS)
def _copy(image, flip, out):
    """Copy a uint8 image that has the size of the view to ``out``, as floats from 0 to 1.

    The result is flipped horizontally if ``flip`` is True.
    """
    size = out.shape[2]
    unit = f32(1.0 / 255.0)
    for c in range(image.shape[0]):
        for i in range(size):
            for j in range(size):
                out[c, i, size - 1 - j if flip else j] = f32(image[c, i, j]) * unit


@njit(**_OPTIONS)
def _affine(view, sample, salts, spec, out):
    """Rotate, shear, zoom and shift a view, and write the result to ``out``.

    The view is rotated, sheared and zoomed about its centre. The angles, the scale factor and the
    shift are random. Interpolation is bilinear, and pixels outside the image are black.
    """
    side = view.shape[1]
    radians = f32(math.pi / 180.0)
    turn = sample_between(sample, salts.rotate, -spec.rotate, spec.rotate) * radians
    slant = sample_between(sample, salts.shear, -spec.shear, spec.shear) * radians
    zoom = sample_between(sample, salts.zoom, spec.zoom[0], spec.zoom[1])
    shift_x = sample_between(sample, salts.shift_x, -spec.translate, spec.translate) * f32(side)
    shift_y = sample_between(sample, salts.shift_y, -spec.translate, spec.translate) * f32(side)
    cosine, sine, tangent = f32(math.cos(turn)), f32(math.sin(turn)), f32(math.tan(slant))
    a, b = cosine, -cosine * tangent - sine
    c, d = sine, -sine * tangent + cosine
    m00, m01, m10, m11 = d / zoom, -b / zoom, -c / zoom, a / zoom
    middle = f32(side / 2.0 - 0.5)
    offset_x = middle - (m00 * shift_x + m01 * shift_y)
    offset_y = middle - (m10 * shift_x + m11 * shift_y)
    for y in range(side):
        dy = f32(y) - middle
        for x in range(side):
            dx = f32(x) - middle
            at_x = m00 * dx + m01 * dy + offset_x
            at_y = m10 * dx + m11 * dy + offset_y
            x0, y0 = math.floor(at_x), math.floor(at_y)
            fx, fy = at_x - f32(x0), at_y - f32(y0)
            for channel in range(view.shape[0]):
                total = f32(0.0)
                for j in range(2):
                    for i in range(2):
                        px, py = x0 + i, y0 + j
                        if 0 <= px < side and 0 <= py < side:
                            weight = (fx if i else f32(1.0) - fx) * (fy if j else f32(1.0) - fy)
                            total += weight * view[channel, py, px]
                out[channel, y, x] = total


@njit(**_OPTIONS)
def _no_operation(view, spec, sample, salts, scratch):
    """Do nothing; the chain of operations starts with this function."""


def _append_operation(previous, name, kernel):
    """Return a compiled function that runs ``previous`` and then, at random, ``kernel``.

    The field ``name`` of the spec is the probability that ``kernel`` runs. The function is inlined,
    because a call would copy the records ``spec`` and ``salts``.
    """

    @njit(inline="always", **_OPTIONS)
    def run(view, spec, sample, salts, scratch):
        previous(view, spec, sample, salts, scratch)
        probability = getattr(spec, name)
        if probability > f32(0.0) and sample_uniform(sample, getattr(salts, name)) < probability:
            kernel(view, spec, sample, salts, scratch)

    return run


_apply_operations = _no_operation
for _name, _operation in OPERATIONS.items():
    _apply_operations = _append_operation(_apply_operations, _name, _operation.kernel)


@njit(**_OPTIONS)
def _make_view(image, sample, salts, spec, mean, scale, out, scratch):
    """Write one normalised view of one image to ``out``.

    ``scratch`` is an array with the view's shape for intermediate results.
    """
    size = out.shape[1]
    channels, height, width = image.shape
    flip = spec.flip > f32(0.0) and sample_uniform(sample, salts.flip) < spec.flip
    view = scratch if spec.has_affine else out
    if not spec.has_crop and height == size and width == size:
        _copy(image, flip, view)
    else:
        _crop(image, _draw_box(sample, salts, spec, height, width), size, spec.cubic, flip, view)
    if spec.has_affine:
        _affine(view, sample, salts, spec, out)
    _apply_operations(out, spec, sample, salts, scratch)
    flat = out.reshape(channels, size * size)
    for c in range(channels):
        for i in range(size * size):
            flat[c, i] = (flat[c, i] - mean[c]) * scale[c]


def _compile():
    """Compile and return the function :data:`make_views`."""
    files = [
        Path(__file__),
        *(Path(f.__code__.co_filename) for f in (*COMPILED, *RANDOM_FUNCTIONS)),
    ]
    texts = [path.read_bytes() for path in dict.fromkeys(files)]
    # numba recompiles only if this file or a closure variable changes. Without the digest it would
    # run outdated kernels after a change to a different file that defines operations.
    digest = hashlib.sha256(b"".join(texts)).hexdigest()

    @njit(cache=True, **_OPTIONS)
    def make_views(images, samples, salts, spec, mean, scale, out):
        digest  # noqa: B018 - makes it a closure variable
        scratch = np.empty(out.shape[1:], np.float32)
        for i in range(len(images)):
            _make_view(images[i], samples[i], salts, spec, mean, scale, out[i], scratch)

    return make_views


make_views = _compile()
"""Write one normalised view of each image of a batch to ``out``, one image at a time.

Args:
    images: (B, C, H, W), uint8; C is 1 or 3.
    samples: (B,), uint64, a hash of seed, epoch and image index for each image.
    salts: record of the salts of the view's random numbers, uint64.
    spec: the fields of a :class:`~ssl_host.augment.operations.ViewSpec` as numbers.
    mean: (C,), float32, mean that is subtracted from the pixels.
    scale: (C,), float32, factor that is applied next: a view is (pixels - mean) · scale.
    out: (B, C, S, S), float32, array that the views are written to.
"""

"""The compiled (numba) kernel: one view of one image in a single pass.

It computes the same operations as the reference implementation in
:mod:`ssl_host.augment.torch_backend`. One image's view fits in the first-level cache, a batch does
not, so on a CPU this is several times faster than applying each operation to the whole batch.
Everything is float32 except the positions of a resize.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

PARAMETERS = (
    *(f"scale{i}" for i in range(10)),
    *(f"ratio{i}" for i in range(10)),
    *("top", "left", "flip", "rotate", "shift_x", "shift_y", "shear", "zoom", "jitter"),
    *(f"order_{name}" for name in ("brightness", "contrast", "saturation", "hue")),
    *("brightness", "contrast", "saturation", "hue", "grayscale", "blur", "sigma", "solarize"),
)
"""What is drawn, in the order of the kernel's salts."""

_TRIES = 10
_SCALE, _RATIO, _TOP, _LEFT, _FLIP, _ROTATE, _SHIFT_X, _SHIFT_Y, _SHEAR, _ZOOM, _JITTER = (
    *(0, 10),
    *range(20, 29),
)
_ORDER, _STRENGTH, _GRAY, _BLUR, _SIGMA, _SOLARIZE = 29, 33, 37, 38, 39, 40
_f = np.float32
_OPTIONS: Any = {"nogil": True, "cache": True, "fastmath": {"contract", "reassoc", "nsz", "arcp"}}


@njit(**_OPTIONS)
def _uniform(sample, salt):
    """splitmix64's finaliser, as :class:`~ssl_host.augment.rng.CounterRNG` has it."""
    x = sample ^ salt
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = (x ^ (x >> np.uint64(31))) & np.uint64(0x7FFFFFFFFFFFFFFF)
    return _f(x >> np.uint64(39)) * _f(2.0**-24)


@njit(**_OPTIONS)
def _between(sample, salt, low, high):
    return low + (high - low) * _uniform(sample, salt)


@njit(**_OPTIONS)
def _box(sample, salts, spec, height, width):
    """Top, left, height, width of the crop; the centred square where the spec has none."""
    if not spec.crops:
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side
    area = _f(height * width)
    for i in range(_TRIES):
        scale = _between(sample, salts[_SCALE + i], spec.scale_low, spec.scale_high)
        ratio = _f(
            math.exp(_between(sample, salts[_RATIO + i], spec.log_ratio_low, spec.log_ratio_high))
        )
        wide = int(np.rint(_f(math.sqrt(area * scale * ratio))))
        high = int(np.rint(_f(math.sqrt(area * scale / ratio))))
        if 0 < wide <= width and 0 < high <= height:
            top = math.floor(_uniform(sample, salts[_TOP]) * _f(height - high + 1))
            left = math.floor(_uniform(sample, salts[_LEFT]) * _f(width - wide + 1))
            return top, left, high, wide
    return spec.central_top, spec.central_left, spec.central_height, spec.central_width


@njit(**_OPTIONS)
def _filter(extent, size, cubic, weights, first, count):
    """Pillow's antialiased weights of each output pixel, the first input pixel and how many."""
    scale = extent / size
    stretch = max(scale, 1.0)
    radius = 2.0 if cubic else 1.0
    for i in range(size):
        centre = (i + 0.5) * scale
        low = max(math.floor(centre - radius * stretch + 0.5), 0)
        high = min(math.floor(centre + radius * stretch + 0.5), extent)
        total = _f(0.0)
        for k in range(low, high):
            x = _f(abs((k - centre + 0.5) / stretch))
            if not cubic:
                value = max(_f(1.0) - x, _f(0.0))
            elif x < _f(1.0):
                value = (_f(1.5) * x - _f(2.5)) * x * x + _f(1.0)
            elif x < _f(2.0):
                value = (((x - _f(5.0)) * x + _f(8.0)) * x - _f(4.0)) * _f(-0.5)
            else:
                value = _f(0.0)
            weights[i, k - low] = value
            total += value
        for k in range(high - low):
            weights[i, k] /= total
        first[i] = low
        count[i] = high - low


@njit(**_OPTIONS)
def _crop(image, box, size, cubic, flip, out):
    """Cut, resize and flip: rows first, then columns; bytes in, 0 to 1 out."""
    top, left, high, wide = box
    longest = max(high, wide)
    taps = min(longest, int(2.0 * (2.0 if cubic else 1.0) * max(longest / size, 1.0)) + 3)
    weights = np.empty((size, taps), np.float32)
    first, count = np.empty(size, np.int64), np.empty(size, np.int64)
    rows = np.empty((size, wide), np.float32)
    across = np.empty((size, taps), np.float32)
    begin, number = np.empty(size, np.int64), np.empty(size, np.int64)
    _filter(high, size, cubic, weights, first, count)
    _filter(wide, size, cubic, across, begin, number)
    unit = _f(1.0 / 255.0)
    for c in range(image.shape[0]):
        for i in range(size):
            row = rows[i]
            row[:] = _f(0.0)
            for k in range(count[i]):
                weight = weights[i, k] * unit
                source = image[c, top + first[i] + k]
                for x in range(wide):
                    row[x] += weight * _f(source[left + x])
        for i in range(size):
            row = rows[i]
            for j in range(size):
                total = _f(0.0)
                for k in range(number[j]):
                    total += across[j, k] * row[begin[j] + k]
                total = min(max(total, _f(0.0)), _f(1.0))
                out[c, i, size - 1 - j if flip else j] = total


@njit(**_OPTIONS)
def _copy(image, flip, out):
    size = out.shape[2]
    unit = _f(1.0 / 255.0)
    for c in range(image.shape[0]):
        for i in range(size):
            for j in range(size):
                out[c, i, size - 1 - j if flip else j] = _f(image[c, i, j]) * unit


@njit(**_OPTIONS)
def _affine(view, sample, salts, spec, out):
    """Rotate, shear, zoom, shift about the centre; bilinear, black outside."""
    side = view.shape[1]
    radians = _f(math.pi / 180.0)
    turn = _between(sample, salts[_ROTATE], -spec.rotate, spec.rotate) * radians
    slant = _between(sample, salts[_SHEAR], -spec.shear, spec.shear) * radians
    zoom = _between(sample, salts[_ZOOM], spec.zoom_low, spec.zoom_high)
    shift_x = _between(sample, salts[_SHIFT_X], -spec.translate, spec.translate) * _f(side)
    shift_y = _between(sample, salts[_SHIFT_Y], -spec.translate, spec.translate) * _f(side)
    cosine, sine, tangent = _f(math.cos(turn)), _f(math.sin(turn)), _f(math.tan(slant))
    a, b = cosine, -cosine * tangent - sine
    c, d = sine, -sine * tangent + cosine
    m00, m01, m10, m11 = d / zoom, -b / zoom, -c / zoom, a / zoom
    middle = _f(side / 2.0 - 0.5)
    offset_x = middle - (m00 * shift_x + m01 * shift_y)
    offset_y = middle - (m10 * shift_x + m11 * shift_y)
    for y in range(side):
        dy = _f(y) - middle
        for x in range(side):
            dx = _f(x) - middle
            at_x = m00 * dx + m01 * dy + offset_x
            at_y = m10 * dx + m11 * dy + offset_y
            x0, y0 = math.floor(at_x), math.floor(at_y)
            fx, fy = at_x - _f(x0), at_y - _f(y0)
            for channel in range(view.shape[0]):
                total = _f(0.0)
                for j in range(2):
                    for i in range(2):
                        px, py = x0 + i, y0 + j
                        if 0 <= px < side and 0 <= py < side:
                            weight = (fx if i else _f(1.0) - fx) * (fy if j else _f(1.0) - fy)
                            total += weight * view[channel, py, px]
                out[channel, y, x] = total


@njit(**_OPTIONS)
def _gray(view, i):
    return _f(0.2989) * view[0, i] + _f(0.587) * view[1, i] + _f(0.114) * view[2, i]


@njit(**_OPTIONS)
def _unit(x):
    return min(max(x, _f(0.0)), _f(1.0))


@njit(**_OPTIONS)
def _brightness(view, factor):
    for c in range(view.shape[0]):
        for i in range(view.shape[1]):
            view[c, i] = _unit(view[c, i] * factor)


@njit(**_OPTIONS)
def _contrast(view, factor):
    total = _f(0.0)
    if view.shape[0] == 3:
        for i in range(view.shape[1]):
            total += _gray(view, i)
    else:
        for i in range(view.shape[1]):
            total += view[0, i]
    mean = (_f(1.0) - factor) * (total / _f(view.shape[1]))
    for c in range(view.shape[0]):
        for i in range(view.shape[1]):
            view[c, i] = _unit(mean + factor * view[c, i])


@njit(**_OPTIONS)
def _saturation(view, factor):
    for i in range(view.shape[1]):
        gray = (_f(1.0) - factor) * _gray(view, i)
        for c in range(3):
            view[c, i] = _unit(gray + factor * view[c, i])


@njit(**_OPTIONS)
def _ramp(place):
    k = place - _f(6.0) * _f(math.floor(place * _f(1.0 / 6.0)))
    return _unit(min(k, _f(4.0) - k))


@njit(**_OPTIONS)
def _hue(view, shift):
    turned = _f(6.0) * shift
    for i in range(view.shape[1]):
        r, g, b = view[0, i], view[1, i], view[2, i]
        top = max(r, g, b)
        spread = top - min(r, g, b)
        safe = spread if spread > _f(0.0) else _f(1.0)
        if r == top:
            angle = (g - b) / safe
        elif g == top:
            angle = _f(2.0) + (b - r) / safe
        else:
            angle = _f(4.0) + (r - g) / safe
        angle += turned
        view[0, i] = top - spread * _ramp(_f(5.0) + angle)
        view[1, i] = top - spread * _ramp(_f(3.0) + angle)
        view[2, i] = top - spread * _ramp(_f(1.0) + angle)


@njit(**_OPTIONS)
def _jitter(view, sample, salts, spec):
    colour = view.shape[0] == 3
    done = 0
    for _ in range(4):
        # The next one in the order of their keys: a uniformly drawn order.
        best, least = -1, _f(2.0)
        for i in range(4 if colour else 2):
            if spec.strength[i] > _f(0.0) and not (done >> i) & 1:
                key = _uniform(sample, salts[_ORDER + i])
                if key < least:
                    best, least = i, key
        if best < 0:
            return
        done |= 1 << best
        reach = spec.strength[best]
        if best == 3:
            _hue(view, _between(sample, salts[_STRENGTH + best], -reach, reach))
            continue
        low = max(_f(0.0), _f(1.0) - reach)
        factor = _between(sample, salts[_STRENGTH + best], low, _f(1.0) + reach)
        if best == 0:
            _brightness(view, factor)
        elif best == 1:
            _contrast(view, factor)
        else:
            _saturation(view, factor)


@njit(**_OPTIONS)
def _blur(view, sigma, kernel, rows):
    """Separable, mirrored at the edges; ``rows`` is room for one channel."""
    side = view.shape[1]
    reach = min(kernel, 2 * side - 1) // 2
    weights = np.empty(2 * reach + 1, np.float32)
    total = _f(0.0)
    for k in range(2 * reach + 1):
        place = _f(k - reach) / sigma
        weights[k] = _f(math.exp(_f(-0.5) * place * place))
        total += weights[k]
    for k in range(2 * reach + 1):
        weights[k] /= total
    padded = np.empty(side + 2 * reach, np.float32)
    for c in range(view.shape[0]):
        for i in range(side):
            row = rows[i]
            row[:] = _f(0.0)
            for k in range(2 * reach + 1):
                source = view[c, _mirrored(i + k - reach, side)]
                weight = weights[k]
                for x in range(side):
                    row[x] += weight * source[x]
        for i in range(side):
            for x in range(-reach, side + reach):
                padded[x + reach] = rows[i, _mirrored(x, side)]
            row = view[c, i]
            row[:] = _f(0.0)
            for k in range(2 * reach + 1):
                weight = weights[k]
                for x in range(side):
                    row[x] += weight * padded[x + k]


@njit(**_OPTIONS)
def _mirrored(place, side):
    place = abs(place)
    return 2 * (side - 1) - place if place >= side else place


@njit(**_OPTIONS)
def _view(image, sample, salts, spec, mean, scale, out, room):
    """One view of one image; ``room`` is for a second copy of it."""
    size = out.shape[1]
    channels, height, width = image.shape
    flip = spec.flip > _f(0.0) and _uniform(sample, salts[_FLIP]) < spec.flip
    view = room if spec.has_affine else out
    if not spec.crops and height == size and width == size:
        _copy(image, flip, view)
    else:
        _crop(image, _box(sample, salts, spec, height, width), size, spec.cubic, flip, view)
    if spec.has_affine:
        _affine(view, sample, salts, spec, out)
    flat = out.reshape(channels, size * size)
    if spec.jitter > _f(0.0) and _uniform(sample, salts[_JITTER]) < spec.jitter:
        _jitter(flat, sample, salts, spec)
    if (
        channels == 3
        and spec.grayscale > _f(0.0)
        and _uniform(sample, salts[_GRAY]) < spec.grayscale
    ):
        _saturation(flat, _f(0.0))
    if spec.blur > _f(0.0) and _uniform(sample, salts[_BLUR]) < spec.blur:
        sigma = _between(sample, salts[_SIGMA], spec.sigma_low, spec.sigma_high)
        _blur(out, sigma, spec.kernel, room[0])
    solarized = spec.solarize > _f(0.0) and _uniform(sample, salts[_SOLARIZE]) < spec.solarize
    for c in range(channels):
        for i in range(size * size):
            value = flat[c, i]
            if solarized and value >= _f(0.5):
                value = _f(1.0) - value
            flat[c, i] = (value - mean[c]) * scale[c]


@njit(**_OPTIONS)
def make_views(images, samples, salts, spec, mean, scale, out):
    """Views of a batch, image by image.

    Args:
        images: B C H W, uint8, C 1 or 3.
        samples: B, uint64, the hashes of seed, epoch and sample.
        salts: uint64, of this view, in the order of :data:`PARAMETERS`.
        out: B C S S, float32, is filled.
    """
    room = np.empty(out.shape[1:], np.float32)
    for i in range(len(images)):
        _view(images[i], samples[i], salts, spec, mean, scale, out[i], room)

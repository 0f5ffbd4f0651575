"""Make views on a CPU with the compiled kernel, in several threads."""

from __future__ import annotations

import collections
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_host.augment.geometry import MAX_CROP_TRIES, central_box
from ssl_host.augment.kernels import make_views
from ssl_host.augment.operations import OPERATIONS, ViewSpec
from ssl_host.contracts.rng import CounterRNG, salt_of

_namedtuple: Any = collections.namedtuple  # mypy accepts only literal field names

_SPEC_FIELDS = tuple(
    field.name
    for field in fields(ViewSpec)
    if field.name not in ("count", "size", "crop_ratio", "interpolation")
)
_DERIVED_FIELDS = ("has_crop", "has_affine", "cubic", "log_ratio", "central_box")
KernelParams = _namedtuple("KernelParams", (*_SPEC_FIELDS, *_DERIVED_FIELDS))
"""Values of a view spec as numbers for the kernel, for one image size."""

_GEOMETRY_RANDOM = ("top", "left", "flip", "rotate", "shift_x", "shift_y", "shear", "zoom")
_RANDOM = (
    *_GEOMETRY_RANDOM,
    *(name for key, operation in OPERATIONS.items() for name in (key, *operation.random)),
)
KernelSalts = _namedtuple("KernelSalts", ("scale", "ratio", *_RANDOM))
"""Salts of a view's random numbers, as a record for the kernel.

``scale`` and ``ratio`` have one salt for each crop that is tried.
"""


@lru_cache(maxsize=256)
def kernel_params(spec: ViewSpec, height: int, width: int, crop: bool) -> Any:
    """Return the values of a view spec as numbers for the kernel, a ``KernelParams``.

    Args:
        spec: the spec of the view.
        height: height of the images, in pixels.
        width: width of the images, in pixels.
        crop: False if the images have already been cropped.
    """
    low, high = spec.crop_ratio
    return KernelParams(
        *(_number(name, getattr(spec, name)) for name in _SPEC_FIELDS),
        has_crop=crop and spec.crop_scale != (1.0, 1.0),
        has_affine=spec.has_affine,
        cubic=spec.interpolation == "bicubic",
        log_ratio=(np.float32(math.log(low)), np.float32(math.log(high))),
        central_box=central_box(spec, height, width),
    )


def _number(name: str, value: Any) -> Any:
    """Convert the value of a spec's field to the type that the kernel is compiled for."""
    if isinstance(value, tuple):
        return tuple(np.float32(number) for number in value)
    # The default determines the type, because a plugin may write flip=1.
    return np.float32(value) if isinstance(getattr(ViewSpec, name), float) else int(value)


@lru_cache(maxsize=1024)
def kernel_salts(view: int) -> Any:
    """Return a salt for each of a view's random numbers, a ``KernelSalts`` of uint64."""

    def salt(name: str) -> np.uint64:
        return np.uint64(salt_of(view, name))

    tries = range(MAX_CROP_TRIES)
    return KernelSalts(
        tuple(salt(f"scale{i}") for i in tries),
        tuple(salt(f"ratio{i}") for i in tries),
        *map(salt, _RANDOM),
    )


def render_view(
    images: Tensor,
    rng: CounterRNG,
    view: int,
    spec: ViewSpec,
    mean: Sequence[float],
    std: Sequence[float],
    crop: bool,
) -> Tensor:
    """Return one normalised view of each image.

    Args:
        images: (B, C, H, W), uint8, on the CPU; C is 1 or 3.
        rng: source of the random numbers.
        view: index of the view.
        spec: the spec of the view.
        mean: mean of each channel, for pixels from 0 to 1.
        std: standard deviation of each channel, for pixels from 0 to 1.
        crop: False if the images have already been cropped.

    Returns:
        (B, C, S, S), float32.
    """
    size = spec.size or images.shape[2]
    # Set the dtype, because with 64-bit precision Lightning makes float64 the default.
    out = torch.empty(len(images), images.shape[1], size, size, dtype=torch.float32)
    params = kernel_params(spec, images.shape[2], images.shape[3], crop)
    pixels, views = images.contiguous().numpy(), out.numpy()
    hashes = rng.samples.numpy().view(np.uint64)
    offset = np.asarray(mean, dtype=np.float32)
    scale = (1 / np.asarray(std, dtype=np.float64)).astype(np.float32)
    salts = kernel_salts(view)

    def render(rows: slice) -> None:
        make_views(pixels[rows], hashes[rows], salts, params, offset, scale, views[rows])

    threads = torch.get_num_threads()
    if threads == 1 or len(images) < 2 * threads:
        render(slice(None))
        return out
    # Use more chunks than threads, so that no thread waits long for the slowest one.
    step = max(1, math.ceil(len(images) / (4 * threads)))
    chunks = [slice(start, start + step) for start in range(0, len(images), step)]
    list(_thread_pool(threads, os.getpid()).map(render, chunks))
    return out


@lru_cache(maxsize=4)
def _thread_pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Return this process's thread pool; forked workers cannot use the pool of their parent."""
    return ThreadPoolExecutor(threads, thread_name_prefix="ssl-host views")

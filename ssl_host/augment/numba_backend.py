"""View specs on a CPU: the compiled kernel, a share of the batch in each thread."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_host.augment.geometry import central_box
from ssl_host.augment.kernels import PARAMETERS, make_views
from ssl_host.augment.rng import CounterRNG, salt_of
from ssl_host.contracts.augmentation import ViewSpec


class KernelParams(NamedTuple):
    """A spec for images of one size, as the kernel reads it."""

    crops: bool
    scale_low: np.float32
    scale_high: np.float32
    log_ratio_low: np.float32
    log_ratio_high: np.float32
    central_top: int
    central_left: int
    central_height: int
    central_width: int
    cubic: bool
    flip: np.float32
    has_affine: bool
    rotate: np.float32
    translate: np.float32
    shear: np.float32
    zoom_low: np.float32
    zoom_high: np.float32
    jitter: np.float32
    strength: tuple[np.float32, np.float32, np.float32, np.float32]
    grayscale: np.float32
    blur: np.float32
    sigma_low: np.float32
    sigma_high: np.float32
    kernel: int
    solarize: np.float32


@lru_cache(maxsize=256)
def numbers(spec: ViewSpec, height: int, width: int, crops: bool) -> KernelParams:
    """What the kernel needs to know of a spec."""
    top, left, high, wide = central_box(spec, height, width)
    real = np.float32
    return KernelParams(
        crops=crops and spec.crop_scale != (1.0, 1.0),
        scale_low=real(spec.crop_scale[0]),
        scale_high=real(spec.crop_scale[1]),
        log_ratio_low=real(math.log(spec.crop_ratio[0])),
        log_ratio_high=real(math.log(spec.crop_ratio[1])),
        central_top=top,
        central_left=left,
        central_height=high,
        central_width=wide,
        cubic=spec.interpolation == "bicubic",
        flip=real(spec.flip),
        has_affine=spec.has_affine,
        rotate=real(spec.rotate),
        translate=real(spec.translate),
        shear=real(spec.shear),
        zoom_low=real(spec.zoom[0]),
        zoom_high=real(spec.zoom[1]),
        jitter=real(spec.jitter),
        strength=(
            *(real(spec.brightness), real(spec.contrast)),
            *(real(spec.saturation), real(spec.hue)),
        ),
        grayscale=real(spec.grayscale),
        blur=real(spec.blur),
        sigma_low=real(spec.blur_sigma[0]),
        sigma_high=real(spec.blur_sigma[1]),
        kernel=spec.blur_kernel or 1,
        solarize=real(spec.solarize),
    )


@lru_cache(maxsize=1024)
def salts(view: int) -> Any:
    """The salts of all parameters of a view, uint64."""
    return np.array([salt_of(view, name) for name in PARAMETERS], dtype=np.uint64)


def views_of(
    images: Tensor,
    rng: CounterRNG,
    view: int,
    spec: ViewSpec,
    mean: Sequence[float],
    std: Sequence[float],
    crops: bool,
) -> Tensor:
    """One view of each image, normalised.

    Args:
        images: B C H W, uint8, on the CPU, C 1 or 3.
        view: its number.
        crops: whether the crop is still to be made.

    Returns:
        B C S S, float32.
    """
    size = spec.size or images.shape[2]
    # Lightning makes float64 the default in a run of that precision.
    out = torch.empty(len(images), images.shape[1], size, size, dtype=torch.float32)
    given = numbers(spec, images.shape[2], images.shape[3], crops)
    pixels, room = images.contiguous().numpy(), out.numpy()
    hashes = rng.samples.numpy().view(np.uint64)
    offset = np.asarray(mean, dtype=np.float32)
    scale = (1 / np.asarray(std, dtype=np.float64)).astype(np.float32)

    def make(part: slice) -> None:
        make_views(pixels[part], hashes[part], salts(view), given, offset, scale, room[part])

    threads = torch.get_num_threads()
    if threads == 1 or len(images) < 2 * threads:
        make(slice(None))
        return out
    # More parts than threads: whoever is done takes the next one.
    step = max(1, math.ceil(len(images) / (4 * threads)))
    list(_pool(threads, os.getpid()).map(make, _parts(len(images), step)))
    return out


def _parts(count: int, step: int) -> list[slice]:
    return [slice(start, start + step) for start in range(0, count, step)]


@lru_cache(maxsize=4)
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    # By process: threads do not come along into a worker that is forked.
    return ThreadPoolExecutor(threads, thread_name_prefix="ssl-host views")

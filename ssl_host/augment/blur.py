"""Gaussian blur: a function for batches of images, and a compiled kernel for single views."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.augment.compilation import compiled, f32, sample_between

if TYPE_CHECKING:
    from ssl_host.augment.operations import ViewSpec

MAX_DENSE_SIDE = 64
"""Largest side, in pixels, of images that are blurred by two matrix products.

Larger images are blurred by two depthwise convolutions.
"""


def blur(images: Tensor, spec: ViewSpec, draw: Callable[..., Tensor]) -> Tensor:
    """Return images blurred by Gaussians with random standard deviations (``spec.blur_sigma``).

    :attr:`ssl_host.augment.operations.Operation.apply` describes the arguments.
    """
    assert spec.blur_kernel is not None
    return gaussian_blur(images, draw("sigma", *spec.blur_sigma), spec.blur_kernel)


def gaussian_blur(images: Tensor, sigma: Tensor, kernel: int) -> Tensor:
    """Return the images, each blurred by a Gaussian with its own standard deviation.

    Edges are mirrored, as in torchvision's ``transforms.functional.gaussian_blur``.

    Args:
        images: (B, C, H, W), float.
        sigma: (B,), standard deviation of the blur of each image, in pixels.
        kernel: kernel size in pixels, an odd number.
    """
    height, width = images.shape[2:]
    kernel = min(kernel, 2 * min(height, width) - 1)
    weights = kernel_weights(sigma, kernel)
    if max(height, width) <= MAX_DENSE_SIDE:
        vertical, horizontal = _blur_matrix(weights, height), _blur_matrix(weights, width)
        return vertical[:, None] @ images @ horizontal[:, None].transpose(2, 3)
    return _convolve(images, weights)


def kernel_weights(sigma: Tensor, kernel: int) -> Tensor:
    """Return the blur kernel of each image, (B, ``kernel``); each row adds up to 1."""
    radius = kernel // 2
    offset = torch.arange(-radius, radius + 1, device=sigma.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    return weights / weights.sum(dim=1, keepdim=True)


def _blur_matrix(weights: Tensor, side: int) -> Tensor:
    """Return matrices (B, side, side) that blur along one axis and mirror the edges."""
    radius = weights.shape[1] // 2
    position = torch.arange(side, device=weights.device)[:, None]
    source = position + torch.arange(-radius, radius + 1, device=weights.device)[None]
    source = source.abs()
    source = torch.where(source >= side, 2 * (side - 1) - source, source)
    matrix = weights.new_zeros(len(weights), side, side)
    index = source[None].expand(len(weights), -1, -1)
    return matrix.scatter_add_(2, index, weights[:, None].expand(-1, side, -1))


def _convolve(images: Tensor, weights: Tensor) -> Tensor:
    """Return images (B, C, H, W) convolved with kernels (B, K) along both axes."""
    batch, channels, height, width = images.shape
    radius = weights.shape[1] // 2
    kernels = weights.repeat_interleave(channels, dim=0)
    planes = images.reshape(1, batch * channels, height, width)
    planes = functional.pad(planes, (radius, radius, radius, radius), mode="reflect")
    planes = functional.conv2d(planes, kernels[:, None, None, :], groups=batch * channels)
    planes = functional.conv2d(planes, kernels[:, None, :, None], groups=batch * channels)
    return planes.view(batch, channels, height, width)


@compiled
def compiled_blur(view: Any, spec: Any, sample: Any, salts: Any, scratch: Any) -> None:
    """Blur one view in place, with the same result as :func:`blur`."""
    sigma = sample_between(sample, salts.sigma, spec.blur_sigma[0], spec.blur_sigma[1])
    side = view.shape[1]
    rows = scratch[0]
    radius = min(spec.blur_kernel, 2 * side - 1) // 2
    weights = compiled_weights(sigma, radius)
    padded = np.empty(side + 2 * radius, np.float32)
    for c in range(view.shape[0]):
        for i in range(side):
            row = rows[i]
            row[:] = f32(0.0)
            for k in range(2 * radius + 1):
                source = view[c, compiled_mirror(i + k - radius, side)]
                weight = weights[k]
                for x in range(side):
                    row[x] += weight * source[x]
        for i in range(side):
            for x in range(-radius, side + radius):
                padded[x + radius] = rows[i, compiled_mirror(x, side)]
            row = view[c, i]
            row[:] = f32(0.0)
            for k in range(2 * radius + 1):
                weight = weights[k]
                for x in range(side):
                    row[x] += weight * padded[x + k]


@compiled
def compiled_weights(sigma: Any, radius: Any) -> Any:
    """Return the blur kernel of one view, computed as in :func:`kernel_weights`."""
    weights = np.empty(2 * radius + 1, np.float32)
    total = f32(0.0)
    for k in range(2 * radius + 1):
        offset = f32(k - radius) / sigma
        weights[k] = f32(math.exp(f32(-0.5) * offset * offset))
        total += weights[k]
    for k in range(2 * radius + 1):
        weights[k] /= total
    return weights


@compiled
def compiled_mirror(position: Any, side: Any) -> Any:
    """Return a pixel position, mirrored at the nearest edge if it lies outside the image."""
    position = abs(position)
    return 2 * (side - 1) - position if position >= side else position

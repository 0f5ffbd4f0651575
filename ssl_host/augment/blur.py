"""Gaussian blur with a σ for each sample."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SMALL = 64
"""Up to this side a blur is two dense products; beyond it, two depthwise convolutions."""


def gaussian_blur(images: Tensor, sigma: Tensor, kernel: int) -> Tensor:
    """Blur B C H W, mirrored at the edges as ``torchvision.gaussian_blur`` does.

    Args:
        sigma: B, in pixels.
        kernel: side of the kernel in pixels, odd.
    """
    height, width = images.shape[2:]
    kernel = min(kernel, 2 * min(height, width) - 1)
    weights = kernel_weights(sigma, kernel)
    if max(height, width) <= SMALL:
        vertical, horizontal = _dense(weights, height), _dense(weights, width)
        return vertical[:, None] @ images @ horizontal[:, None].transpose(2, 3)
    return _convolve(images, weights)


def kernel_weights(sigma: Tensor, kernel: int) -> Tensor:
    """B ``kernel``, each row of sum 1."""
    reach = kernel // 2
    place = torch.arange(-reach, reach + 1, device=sigma.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (place / sigma[:, None]) ** 2)
    return weights / weights.sum(dim=1, keepdim=True)


def _dense(weights: Tensor, side: int) -> Tensor:
    """The blur as a matrix B side side, mirroring folded in."""
    reach = weights.shape[1] // 2
    place = torch.arange(side, device=weights.device)[:, None]
    source = place + torch.arange(-reach, reach + 1, device=weights.device)[None]
    source = source.abs()
    source = torch.where(source >= side, 2 * (side - 1) - source, source)
    matrix = weights.new_zeros(len(weights), side, side)
    index = source[None].expand(len(weights), -1, -1)
    return matrix.scatter_add_(2, index, weights[:, None].expand(-1, side, -1))


def _convolve(images: Tensor, weights: Tensor) -> Tensor:
    batch, channels, height, width = images.shape
    reach = weights.shape[1] // 2
    kernels = weights.repeat_interleave(channels, dim=0)
    planes = images.reshape(1, batch * channels, height, width)
    planes = functional.pad(planes, (reach, reach, reach, reach), mode="reflect")
    planes = functional.conv2d(planes, kernels[:, None, None, :], groups=batch * channels)
    planes = functional.conv2d(planes, kernels[:, None, :, None], groups=batch * channels)
    return planes.view(batch, channels, height, width)

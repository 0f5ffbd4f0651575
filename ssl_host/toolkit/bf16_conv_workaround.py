"""Workaround for wrong convolution gradients under CPU bfloat16 autocast.

Some kernel elements only ever cover padding. For them, torch on CPUs (observed with 2.14) does not
initialise the weight gradient in bfloat16: it contains arbitrary, sometimes infinite numbers that
differ between processes. In float32 it is zero, as it should be, so such convolutions run in
float32.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn


@lru_cache(maxsize=4096)
def has_padding_only_taps(size: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Return True if, along one axis, some kernel element only ever covers padding.

    Args:
        size: size of the image along the axis, in pixels.
        kernel: number of kernel elements along the axis.
        stride: stride of the convolution.
        padding: number of padded pixels on each side.
        dilation: distance between neighbouring kernel elements.
    """
    positions = range((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
    return any(
        all(not 0 <= position * stride - padding + tap * dilation < size for position in positions)
        for tap in range(kernel)
    )


def run_padding_only_convs_in_float32(network: nn.Module) -> None:
    """Run convolutions in float32 under CPU autocast if some kernel elements see only padding."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(_disable_autocast)
            module.register_forward_hook(_enable_autocast, always_call=True)


def _disable_autocast(conv: nn.Module, arguments: Any) -> Any:
    """Disable CPU autocast before a forward pass if some kernel elements see only padding.

    This is a forward pre-hook: it returns the arguments with the images in float32, or None to
    change nothing.
    """
    assert isinstance(conv, nn.Conv2d)
    images = arguments[0]
    if not torch.is_autocast_enabled("cpu") or not _covers_only_padding(conv, images):
        return None
    torch.set_autocast_enabled("cpu", False)
    conv.left_autocast = True  # type: ignore[assignment]
    return (images.float(), *arguments[1:])


def _enable_autocast(conv: nn.Module, *_: Any) -> None:
    """Re-enable CPU autocast after a forward pass that ran without it."""
    if conv.__dict__.pop("left_autocast", False):
        torch.set_autocast_enabled("cpu", True)


def _covers_only_padding(conv: nn.Conv2d, images: Tensor) -> bool:
    """Return True if, for these images, some elements of a convolution kernel see only padding."""
    # The padding may be the word "same", and timm's convolutions pad more than `padding` says.
    halves = [(k - 1) * d // 2 for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
    paddings = halves if isinstance(conv.padding, str) else conv.padding
    sides = zip(conv.kernel_size, conv.stride, conv.dilation, images.shape[-2:], strict=True)
    return any(
        has_padding_only_taps(size, kernel, stride, padding, dilation)
        for (kernel, stride, dilation, size), pads in zip(
            sides, zip(paddings, halves, strict=True), strict=True
        )
        for padding in pads
    )

"""Workaround for wrong convolution gradients under CPU bfloat16 autocast.

On CPUs in bfloat16, torch (observed with 2.14) does not initialise the weight gradient of a kernel
element that only ever covers padding: it contains arbitrary numbers, sometimes infinite, which
differ between processes. In float32 it is zero, as it should be. Such convolutions run in float32.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn


@lru_cache(maxsize=4096)
def has_padding_only_taps(size: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Return True if some element of a kernel only ever covers padding, along one axis."""
    positions = range((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
    return any(
        all(not 0 <= position * stride - padding + tap * dilation < size for position in positions)
        for tap in range(kernel)
    )


def run_padding_only_convs_in_float32(network: nn.Module) -> None:
    """Run convolutions in float32 under CPU autocast if part of the kernel only covers padding."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(_disable_autocast)
            module.register_forward_hook(_enable_autocast, always_call=True)


def _disable_autocast(conv: nn.Module, arguments: Any) -> Any:
    """Disable CPU autocast before a forward pass if part of the kernel only covers padding."""
    assert isinstance(conv, nn.Conv2d)
    images = arguments[0]
    if not torch.is_autocast_enabled("cpu") or not _covers_only_padding(conv, images):
        return None
    torch.set_autocast_enabled("cpu", False)
    conv.left_autocast = True  # type: ignore[assignment]
    return (images.float(), *arguments[1:])


def _enable_autocast(conv: nn.Module, *_: Any) -> None:
    """Enable CPU autocast again after a forward pass that ran without it."""
    if conv.__dict__.pop("left_autocast", False):
        torch.set_autocast_enabled("cpu", True)


def _covers_only_padding(conv: nn.Conv2d, images: Tensor) -> bool:
    """Return True if part of a convolution's kernel covers only padding, for these images."""
    # The padding "same" is not a number, and timm's convolutions pad in addition to `padding`.
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

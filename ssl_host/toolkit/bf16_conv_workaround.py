"""Float32 for convolutions with kernels larger than their images, under CPU bfloat16.

On CPUs in bfloat16, torch (observed with 2.14) leaves the weight gradient of a kernel tap that
only covers padding uninitialised: it holds arbitrary numbers, sometimes infinite, different in
each process. In float32 it is zero, as it should be.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn


@lru_cache(maxsize=4096)
def has_padding_only_taps(size: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Return True if some tap of a kernel covers only padding, along one side of an image."""
    positions = range((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
    return any(
        all(not 0 <= position * stride - padding + tap * dilation < size for position in positions)
        for tap in range(kernel)
    )


def run_small_convs_in_float32(network: nn.Module) -> None:
    """Disable autocast in each convolution while its image is too small for its kernel."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(_disable_autocast)
            module.register_forward_hook(_enable_autocast, always_call=True)


def _disable_autocast(conv: nn.Module, arguments: Any) -> Any:
    assert isinstance(conv, nn.Conv2d)
    images = arguments[0]
    if not torch.is_autocast_enabled("cpu") or not _is_small(conv, images):
        return None
    torch.set_autocast_enabled("cpu", False)
    conv.left_autocast = True  # type: ignore[assignment]
    return (images.float(), *arguments[1:])


def _enable_autocast(conv: nn.Module, *_: Any) -> None:
    if conv.__dict__.pop("left_autocast", False):
        torch.set_autocast_enabled("cpu", True)


def _is_small(conv: nn.Conv2d, images: Tensor) -> bool:
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

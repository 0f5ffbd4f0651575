"""Convolutions whose kernel is larger than their image, kept out of bfloat16 on a CPU.

torch (seen with 2.14) leaves the weight gradient of a tap that only ever meets padding
uninitialised in bfloat16 on CPUs: whatever the memory held, sometimes infinite, another number in
each process. In float32 it is the zero that it should be.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn


@lru_cache(maxsize=4096)
def has_padding_only_taps(size: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Whether some tap of a kernel meets nothing but padding, along one side of an image."""
    places = range((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
    return any(
        all(not 0 <= place * stride - padding + tap * dilation < size for place in places)
        for tap in range(kernel)
    )


def run_small_convs_in_float32(network: nn.Module) -> None:
    """Let each convolution leave autocast where its image is too small for its kernel."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(_leave)
            module.register_forward_hook(_return, always_call=True)


def _leave(conv: nn.Module, arguments: Any) -> Any:
    assert isinstance(conv, nn.Conv2d)
    images = arguments[0]
    if not torch.is_autocast_enabled("cpu") or not _is_small(conv, images):
        return None
    torch.set_autocast_enabled("cpu", False)
    conv.left_autocast = True  # type: ignore[assignment]
    return (images.float(), *arguments[1:])


def _return(conv: nn.Module, *_: Any) -> None:
    if conv.__dict__.pop("left_autocast", False):
        torch.set_autocast_enabled("cpu", True)


def _is_small(conv: nn.Conv2d, images: Tensor) -> bool:
    # "same" and timm's own padding give no numbers, or smaller ones than are meant.
    halves = [(k - 1) * d // 2 for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
    given = halves if isinstance(conv.padding, str) else conv.padding
    sides = zip(conv.kernel_size, conv.stride, conv.dilation, images.shape[-2:], strict=True)
    return any(
        has_padding_only_taps(size, kernel, stride, padding, dilation)
        for (kernel, stride, dilation, size), pads in zip(
            sides, zip(given, halves, strict=True), strict=True
        )
        for padding in pads
    )

"""Check which image sizes a backbone can process, without computing anything."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn

from ssl_host.contracts.networks import Backbone

_COMMON_SIZES = (32, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 384, 448, 518)
_MAX_TRIED = 16
"""Largest number of sizes that are tried to find some that fit."""


def size_error(backbone: Backbone, size: int) -> Exception | None:
    """Return the error of a forward pass on square images; None if the backbone accepts them.

    The pass runs on the meta device. If it fails there, it is repeated on the CPU, because the meta
    device does not support every operation.

    Args:
        backbone: the backbone.
        size: height and width of the images in pixels.
    """
    try:
        with evaluation_mode(backbone):
            _forward_on_meta(backbone, size)
    except Exception:  # a network may raise anything
        try:
            with evaluation_mode(backbone), torch.random.fork_rng(devices=[]), torch.no_grad():
                backbone(torch.zeros(2, backbone.in_channels, size, size))
        except Exception as error:
            return error
    return None


def _forward_on_meta(backbone: Backbone, size: int) -> None:
    """Run a network on the meta device, where images and parameters have no data."""
    state = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    meta = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    images = torch.empty(2, backbone.in_channels, size, size, device="meta")
    with torch.no_grad():
        torch.func.functional_call(backbone, meta, (images,))


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Context manager that puts a network into evaluation mode and restores all modes at exit."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class SizeFit(IntEnum):
    """Degree to which images of one size fit a backbone."""

    NONE = 0
    WITHOUT_BORDER = 1
    """The backbone accepts the images but ignores some rows and columns."""
    COMPLETE = 2


def fitting_sizes(fit: Callable[[int], SizeFit], size: int) -> list[int]:
    """Return up to three image sizes near ``size`` that fit a backbone, in increasing order.

    Args:
        fit: function that returns how well a size fits the backbone.
        size: the size that cannot be used.
    """
    steps = [step * n for step in (8, 14, 16, 32) for n in range(1, 1 + 2 * size // step)]
    near = sorted({*steps, *_COMMON_SIZES} - {size}, key=lambda other: abs(other - size))
    found: dict[SizeFit, list[int]] = {each: [] for each in SizeFit}
    for candidate in dict.fromkeys([*near[: _MAX_TRIED - 2], 224, 256]):
        found[fit(candidate)].append(candidate)
        if len(found[SizeFit.COMPLETE]) == 3:
            break
    return sorted(found[SizeFit.COMPLETE] or found[SizeFit.WITHOUT_BORDER][:3])


def fit_of_new_backbone(build: Callable[[int], Backbone], size: int) -> SizeFit:
    """Return how well images of a size fit a backbone that is built for this size.

    Args:
        build: function that builds a backbone for a size. It is called on the meta device, where
            weights take no memory.
        size: height and width of the images in pixels.
    """
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.device("meta"):
            warnings.simplefilter("ignore")  # about sizes that are only being tried
            backbone = build(size).eval()
            backbone(torch.empty(2, backbone.in_channels, size, size))
    except Exception:  # a plugin may raise anything
        return SizeFit.NONE
    return SizeFit.COMPLETE if unseen_border(backbone, size) is None else SizeFit.WITHOUT_BORDER


def fit_of_backbone(backbone: Backbone, size: int) -> SizeFit:
    """Return how well images of a size fit an existing backbone."""
    if size_error(backbone, size) is not None:
        return SizeFit.NONE
    return SizeFit.COMPLETE if unseen_border(backbone, size) is None else SizeFit.WITHOUT_BORDER


@dataclass(frozen=True)
class UnseenBorder:
    """Rows and columns at the border of an image that a backbone's first layer ignores.

    Attributes:
        pixels: number of rows at the bottom and of columns at the right.
        fitting: the next smaller and the next larger size without such a border.
    """

    pixels: int
    fitting: tuple[int, int]


def unseen_border(backbone: Backbone, size: int) -> UnseenBorder | None:
    """Return the border of an image that no output depends on; None if there is none.

    A layer that cuts an image or a feature map into patches ignores any remainder smaller than a
    patch.

    Args:
        backbone: the backbone.
        size: height and width of the images in pixels.
    """
    first: list[nn.Module] = []
    unfolded: list[tuple[nn.Unfold, int]] = []

    def remember(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shape = inputs[0].shape if inputs else ()
        if shape[1:] == (backbone.in_channels, size, size):
            first.append(module)
        elif isinstance(module, nn.Unfold) and len(shape) == 4 and size % shape[-1] == 0:
            unfolded.append((module, size // shape[-1]))

    # Subclasses may pad their input; these classes do what their attributes say.
    kinds = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.Unfold)
    handles = [
        layer.register_forward_pre_hook(remember)
        for layer in backbone.modules()
        if type(layer) in kinds
    ]
    try:
        with evaluation_mode(backbone):
            _forward_on_meta(backbone, size)
    except Exception:  # reported by size_error, or only the meta device is not supported
        return None
    finally:
        for handle in handles:
            handle.remove()
    borders = [_ignored_border_of_patches(*each, size) for each in unfolded]
    if first:
        layer = min(first, key=lambda module: _ignored_columns(module, size))
        borders.append(_ignored_border(lambda other: _ignored_columns(layer, other), size))
    found = [border for border in borders if border is not None]
    return max(found, key=lambda border: border.pixels, default=None)


def _ignored_border(left_out: Callable[[int], int], size: int) -> UnseenBorder | None:
    """Return the border of an image that a layer ignores; None if there is none.

    Args:
        left_out: function that returns the width of the ignored border for an image size.
        size: height and width of the images in pixels.
    """
    pixels = left_out(size)
    if not pixels:
        return None
    smaller = next(s for s in range(size, 0, -1) if not left_out(s))
    larger = next(s for s in range(size, 2 * size + 1) if not left_out(s))
    return UnseenBorder(pixels, (smaller, larger))


def _ignored_border_of_patches(layer: nn.Unfold, stride: int, size: int) -> UnseenBorder | None:
    """Return the ignored border if features, one every ``stride`` pixels, are cut into patches.

    Return None if nothing is ignored.

    This applies only to separate patches, as in TNT: if patches overlap, the output usually depends
    on the border along another path.
    """
    numbers = [_first(number) for number in (layer.kernel_size, layer.stride, layer.padding)]
    if numbers[0] != numbers[1] or numbers[2] != 0:
        return None
    return _ignored_border(lambda other: other % (numbers[0] * stride), size)


def _ignored_columns(layer: nn.Module, size: int) -> int:
    """Return the number of columns at the right that a convolution or pooling ignores."""
    numbers = [_first(getattr(layer, n, 1)) for n in ("kernel_size", "stride", "dilation")]
    padding = _first(layer.padding)
    if not isinstance(padding, int) or getattr(layer, "ceil_mode", False):
        return 0
    kernel, stride, dilation = numbers
    extent = dilation * (kernel - 1) + 1
    steps = (size + 2 * padding - extent) // stride
    return max(0, size - (steps * stride - padding + extent)) if steps >= 0 else size


def _first(value: object) -> Any:
    """Return the first of two equal numbers for height and width, or the only number."""
    return value[0] if isinstance(value, tuple) else value

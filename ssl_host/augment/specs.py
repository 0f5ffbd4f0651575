"""View specs checked and spelled out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ssl_host.contracts.augmentation import ViewSpec
from ssl_host.errors import ContractError

_CHANCES = ("flip", "jitter", "grayscale", "blur", "solarize")


def expand(specs: Sequence[ViewSpec], image_size: int, owner: str) -> tuple[ViewSpec, ...]:
    """One spec a view, sizes and kernels filled in, full-size views first.

    Raises:
        ContractError: for a spec that makes no sense, or none.
    """
    views: list[ViewSpec] = []
    for spec in specs:
        fault = _fault(spec)
        if fault:
            raise ContractError(f"{owner}.view_specs(): {fault} in {spec}")
        size = spec.size or image_size
        kernel = spec.blur_kernel or max(3, round(size / 10) | 1)
        views += [replace(spec, count=1, size=size, blur_kernel=kernel)] * spec.count
    if not views:
        raise ContractError(f"{owner}.view_specs() gives no view")
    return tuple(sorted(views, key=lambda spec: spec.size != image_size))


def _fault(spec: ViewSpec) -> str:
    for name in _CHANCES:
        if not 0 <= getattr(spec, name) <= 1:
            return f"{name} = {getattr(spec, name)} is no probability (0 to 1)"
    for name in ("crop_scale", "crop_ratio", "zoom", "blur_sigma"):
        low, high = getattr(spec, name)
        if not 0 < low <= high:
            return f"{name} = ({low}, {high}) is no range of positive numbers"
    if spec.crop_scale[1] > 1:
        return "crop_scale is more than the whole image (1)"
    if spec.blur_kernel is not None and (spec.blur_kernel < 1 or spec.blur_kernel % 2 == 0):
        return f"blur_kernel = {spec.blur_kernel} is not odd"
    if spec.count < 1:
        return f"count = {spec.count} is less than 1"
    return ""

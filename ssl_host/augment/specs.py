"""Validate view specs and fill in their default sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache

from pydantic import TypeAdapter, ValidationError

from ssl_host.augment.operations import ViewSpec
from ssl_host.errors import ContractError


def expand_specs(specs: Sequence[ViewSpec], image_size: int, owner: str) -> tuple[ViewSpec, ...]:
    """Return one spec for each view, with default sizes filled in and full-size views first.

    Args:
        specs: the specs that an augmentation returns; ``count`` of a spec is its number of views.
        image_size: side of a full-size view, in pixels.
        owner: name of the augmentation's class, to use in error messages.

    Raises:
        ContractError: if a value is out of bounds, or if there are no specs.
    """
    views: list[ViewSpec] = []
    for spec in specs:
        _check_spec(spec, owner)
        size = spec.size or image_size
        kernel = spec.blur_kernel or max(3, round(size / 10) | 1)
        views += [replace(spec, count=1, size=size, blur_kernel=kernel)] * spec.count
    if not views:
        raise ContractError(
            f"{owner}.view_specs() returns no specs; return at least one ssl_host.ViewSpec"
        )
    return tuple(sorted(views, key=lambda spec: spec.size != image_size))


@lru_cache(maxsize=1)
def _spec_validator() -> TypeAdapter[ViewSpec]:
    """Return pydantic's validator for view specs."""
    return TypeAdapter(ViewSpec)


def _check_spec(spec: ViewSpec, owner: str) -> None:
    """Raise ContractError if a field has a value that ``ViewSpec``'s annotations do not allow."""
    try:
        _spec_validator().validate_python(asdict(spec))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        message = first["msg"].removeprefix("Value error, ")
        raise ContractError(
            f"{owner}.view_specs(): {name} = {getattr(spec, name)!r} is not valid ({message})"
        ) from None

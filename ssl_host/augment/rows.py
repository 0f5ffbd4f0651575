"""Operations on some of a batch's images."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def apply_to_rows(
    images: Tensor, selected: Tensor, change: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Apply ``change(images, rows)`` to the selected images, in place unless all are selected.

    Args:
        images: B C H W.
        selected: B, bool.
        change: called with the selected images and their indices; not called if there are none.
    """
    rows = selected.nonzero().squeeze(1)
    if len(rows) == 0:
        return images
    if len(rows) == len(images):
        return change(images, rows)
    images[rows] = change(images[rows], rows)
    return images

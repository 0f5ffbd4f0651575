"""Apply a function to selected images of a batch."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def apply_to_rows(
    images: Tensor, selected: Tensor, change: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Apply ``change(images, rows)`` to the selected images and return the batch.

    The batch is changed in place unless all images are selected.

    Args:
        images: the batch, (B, C, H, W).
        selected: (B,), bool, True for the images to change.
        change: function of the selected images and their indices that returns the changed images;
            it is not called if no image is selected.
    """
    rows = selected.nonzero().squeeze(1)
    if len(rows) == 0:
        return images
    if len(rows) == len(images):
        return change(images, rows)
    images[rows] = change(images[rows], rows)
    return images

"""Random masks over the patches of images, and conversion between images and patches."""

from __future__ import annotations

import math
import random
from functools import lru_cache

import torch
from torch import Tensor

from ssl_host.contracts.rng import BatchRNG

_MAX_TRIES = 10
"""Number of tries to place one block before blockwise masking adds single patches instead."""


def random_masks(rng: BatchRNG, num_patches: int, ratio: float, name: str = "mask") -> Tensor:
    """Return a random mask for each image, as in MAE (arXiv:2111.06377, section 3).

    Args:
        rng: random number generator of the batch, ``batch.rng``.
        num_patches: number of patches T of an image.
        ratio: fraction of the patches to mask, from 0 to 1.
        name: name of the random stream; different names give independent masks.

    Returns:
        (B, T), bool; exactly ``round(T · ratio)`` patches of each row are True.

    Raises:
        ValueError: if ``ratio`` is outside [0, 1].
    """
    _check_fraction("ratio", ratio)
    order = rng.permutation(name, num_patches)
    # The rank of each patch in the random order: the first ones are masked.
    return order.argsort(dim=1) < round(num_patches * ratio)


def block_masks(
    rng: BatchRNG,
    grid: tuple[int, int],
    scale: tuple[float, float],
    aspect: tuple[float, float] = (1.0, 1.0),
    count: int = 1,
    name: str = "mask",
    ragged: bool = False,
) -> Tensor:
    """Return rectangular masks, as in I-JEPA (arXiv:2301.08243, section 3).

    Unless ``ragged`` is true, the size of the blocks is drawn once for the optimizer step, so that
    all blocks have the same number of patches. The place is drawn for each image and block.

    Args:
        rng: random number generator of the batch, ``batch.rng``.
        grid: number of rows and columns of patches.
        scale: smallest and largest area of a block, as a fraction of the image.
        aspect: smallest and largest ratio of height to width.
        count: number of blocks for each image.
        name: name of the random stream; different names give independent masks.
        ragged: True to draw a separate size for each image and block.

    Returns:
        (B, ``count``, T), bool: True for the patches in a block; the T patches are in row-major
        order.
    """
    rows, columns = grid
    log_aspect = (math.log(aspect[0]), math.log(aspect[1]))
    if ragged:
        area = rng.uniform(f"{name}.scale", count, *scale)
        log_ratio = rng.uniform(f"{name}.aspect", count, *log_aspect)
    else:
        area = torch.tensor([[rng.shared_uniform(f"{name}.scale", *scale)]])
        log_ratio = torch.tensor([[rng.shared_uniform(f"{name}.aspect", *log_aspect)]])
    height, width = _block_sizes(area * rows * columns, log_ratio, grid, scale, aspect)
    place = rng.uniform(f"{name}.top", count), rng.uniform(f"{name}.left", count)
    device = place[0].device
    height, width = height.to(device), width.to(device)
    # Every place is possible, the last row and column included.
    top = (place[0] * (rows - height + 1)).floor()[..., None]
    left = (place[1] * (columns - width + 1)).floor()[..., None]
    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    in_rows = (row >= top) & (row < top + height[..., None])
    in_columns = (column >= left) & (column < left + width[..., None])
    return (in_rows[..., :, None] & in_columns[..., None, :]).flatten(2)


def _block_sizes(
    area: Tensor,
    log_ratio: Tensor,
    grid: tuple[int, int],
    scale: tuple[float, float],
    aspect: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Return the heights and widths of blocks, in patches, nearest to the drawn sizes.

    Rounding height and width alone could leave the ranges, so the nearest size inside them is used.
    """
    sizes = _allowed_sizes(grid, scale, aspect).to(area.device)
    heights, widths = sizes.unbind(dim=1)
    area_distance = (area.log()[..., None] - (heights * widths).log()).abs()
    ratio_distance = (log_ratio[..., None] - (heights / widths).log()).abs()
    nearest = (2 * area_distance + ratio_distance).argmin(dim=-1)
    return heights[nearest], widths[nearest]


@lru_cache(maxsize=64)
def _allowed_sizes(
    grid: tuple[int, int], scale: tuple[float, float], aspect: tuple[float, float]
) -> Tensor:
    """Return the (height, width) of all blocks with area and aspect in the ranges: (S, 2).

    On a small grid there may be none; then all sizes of the grid are returned.
    """
    rows, columns = grid
    sizes = torch.cartesian_prod(torch.arange(1.0, rows + 1), torch.arange(1.0, columns + 1))
    area, ratio = sizes.prod(dim=1) / (rows * columns), sizes[:, 0] / sizes[:, 1]
    slack = 1e-6  # the bounds are included
    allowed = (area >= scale[0] - slack) & (area <= scale[1] + slack)
    allowed &= (ratio >= aspect[0] - slack) & (ratio <= aspect[1] + slack)
    return sizes[allowed] if allowed.any() else sizes


def blockwise_masks(
    rng: BatchRNG,
    grid: tuple[int, int],
    num_masked: int | Tensor,
    min_block: int = 4,
    name: str = "mask",
) -> Tensor:
    """Return masks made of random blocks, as in BEiT (arXiv:2106.08254, algorithm 1).

    Blocks of at least ``min_block`` patches, with an aspect ratio between 0.3 and 1/0.3, are added
    until ``num_masked`` patches are masked. If no further block fits, single patches are added.

    Args:
        rng: random number generator of the batch, ``batch.rng``.
        grid: number of rows and columns of patches.
        num_masked: number of patches to mask: an int, or a tensor (B,) with one for each image.
        min_block: smallest number of patches in a block.
        name: name of the random stream; different names give independent masks.

    Returns:
        (B, T), bool; exactly ``num_masked`` patches of each row are True.

    Raises:
        ValueError: if ``num_masked`` is negative or larger than the number of patches.
    """
    rows, columns = grid
    seeds = rng.integers(name, 2**63 - 1)
    counts = torch.as_tensor(num_masked).expand(len(seeds)).tolist()
    masks = torch.zeros(len(seeds), rows, columns, dtype=torch.bool)
    for mask, seed, count in zip(masks, seeds.tolist(), counts, strict=True):
        if not 0 <= count <= rows * columns:
            raise ValueError(f"num_masked = {count}: must be from 0 to {rows * columns}")
        numbers = random.Random(seed)
        _add_blocks(mask, count, min_block, numbers)
        free = (~mask.view(-1)).nonzero().flatten().tolist()
        missing = numbers.sample(free, count - int(mask.sum()))
        mask.view(-1)[missing] = True
    return masks.flatten(1).to(seeds.device)


def _add_blocks(mask: Tensor, count: int, min_block: int, numbers: random.Random) -> None:
    """Add random blocks to a mask (rows, columns) until ``count`` patches are masked.

    Stop earlier if no further block fits.
    """
    rows, columns = mask.shape
    masked = 0
    while masked < count:
        missing = count - masked
        for _ in range(_MAX_TRIES):
            area = numbers.uniform(min(min_block, missing), missing)
            ratio = math.exp(numbers.uniform(math.log(0.3), -math.log(0.3)))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if not (0 < height <= rows and 0 < width <= columns):
                continue
            top, left = numbers.randint(0, rows - height), numbers.randint(0, columns - width)
            block = mask[top : top + height, left : left + width]
            added = block.numel() - int(block.sum())
            if 0 < added <= missing:
                block.fill_(True)
                masked += added
                break
        else:
            return


def indices_of(masks: Tensor) -> Tensor:
    """Return the positions of the True entries of each row, in order: (B, K), int64.

    Args:
        masks: (B, T), bool, with the same number K of True entries in each row.

    Raises:
        ValueError: if the rows have different numbers of True entries.
    """
    counts = masks.sum(dim=1)
    if len(counts) and int(counts.min()) != int(counts.max()):
        raise ValueError(
            f"the rows have from {int(counts.min())} to {int(counts.max())} masked patches; "
            "all rows need the same number"
        )
    return masks.nonzero()[:, 1].view(len(masks), -1)


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Return the pixels of each patch of images (B, C, H, W): (B, T, p · p · C).

    The side p of a patch is ``patch_size``. The patches are in row-major order, and so are the
    pixels of a patch, with the channels last.

    Raises:
        ValueError: if ``patch_size`` does not divide height and width.
    """
    batch, channels, height, width = images.shape
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"patches of {patch_size} pixels do not fit into images of {height} x {width} pixels"
        )
    rows, columns = height // patch_size, width // patch_size
    patches = images.reshape(batch, channels, rows, patch_size, columns, patch_size)
    return patches.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)


def unpatchify(patches: Tensor, patch_size: int, grid: tuple[int, int] | None = None) -> Tensor:
    """Return the images (B, C, H, W) of patches (B, T, p · p · C); undo :func:`patchify`.

    Args:
        patches: the pixels of each patch.
        patch_size: side p of a patch, in pixels.
        grid: number of rows and columns of patches; by default a square grid.

    Raises:
        ValueError: if the T patches do not fill the grid.
    """
    batch, count = patches.shape[:2]
    rows, columns = grid or (math.isqrt(count), math.isqrt(count))
    if rows * columns != count:
        raise ValueError(f"{count} patches do not form a grid of {rows} x {columns}")
    images = patches.reshape(batch, rows, columns, patch_size, patch_size, -1)
    return images.permute(0, 5, 1, 3, 2, 4).reshape(
        batch, -1, rows * patch_size, columns * patch_size
    )


def _check_fraction(name: str, value: float) -> None:
    """Raise ValueError if a number is not from 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} = {value}: must be from 0 to 1")

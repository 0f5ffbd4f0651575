"""Compute features of images with several networks or functions at once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssl_host.data.prefetch import prefetch
from ssl_host.data.store import PixelArray
from ssl_host.toolkit.atomic_io import reserve_disk_space

BATCH_SIZE = 256
"""Number of images in a batch; the features do not depend on it."""
MAX_BYTES_IN_MEMORY = 2 * 2**30
"""Size in bytes above which features are stored in a file instead of memory.

ImageNet's features from a ResNet-50 take 10 GB.
"""

Transform = Callable[[Tensor], Tensor]
"""Function that maps uint8 images (B, C, H, W) to the normalised input of a network."""
FeatureFunction = Callable[[Tensor], Tensor]
"""Function that maps uint8 images (B, C, H, W) to their features (B, D)."""


def _allocate(count: int, dim: int, scratch: Path | None) -> Tensor:
    """Return an uninitialised tensor (count, dim); a large one is stored in an unnamed file."""
    if 4 * count * dim <= MAX_BYTES_IN_MEMORY:
        return torch.empty(count, dim, dtype=torch.float32)
    with tempfile.TemporaryFile(dir=scratch) as file:
        reserve_disk_space(file.fileno(), 4 * count * dim, scratch or Path(tempfile.gettempdir()))
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=(count, dim)))


@torch.no_grad()
def compute_features(
    images: PixelArray, functions: Mapping[str, FeatureFunction], scratch: Path | None = None
) -> dict[str, Tensor]:
    """Return several kinds of features of the same images, keyed by name: (N, D), float32.

    Each image is read only once for all kinds of features. The next batch is read while the
    features of the current batch are computed.

    Args:
        images: (N, C, H, W), uint8.
        functions: functions that map a batch of images to features (B, D), keyed by name.
        scratch: folder for the files of large features. A file has no name and is deleted together
            with its tensor.
    """
    rows = {name: torch.empty(0, 0) for name in functions}
    starts = range(0, len(images), BATCH_SIZE)
    batches = prefetch(images[start : start + BATCH_SIZE] for start in starts)
    for start, batch in zip(starts, batches, strict=True):
        for name, function in functions.items():
            batch_rows = function(batch)
            if start == 0:
                rows[name] = _allocate(len(images), batch_rows.shape[1], scratch)
            rows[name][start : start + len(batch_rows)] = batch_rows
    return rows


def network_features(
    encoder: nn.Module, transform: Transform, device: torch.device | str = "cpu"
) -> FeatureFunction:
    """Put a network into evaluation mode; return a function that maps images to its features."""
    encoder.eval()
    return lambda batch: encoder(transform(batch.to(device))).float().cpu()

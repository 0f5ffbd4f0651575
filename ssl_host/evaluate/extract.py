"""Compute features of images: a network's output, raw pixels, or simple statistics."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_host.data.prefetch import prefetch
from ssl_host.data.store import PixelArray
from ssl_host.toolkit.atomic_io import reserve_disk_space
from ssl_host.toolkit.sampling import evenly_spaced_indices

BATCH_SIZE = 256
"""Number of images in a batch; the features do not depend on it."""
MAX_PIXEL_SIDE = 32
"""Largest image side in the raw-pixel baseline, in pixels; larger images are shrunk to it.

More pixels make probes slower but not better.
"""

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


@torch.no_grad()
def recalibrate_batchnorm(
    encoder: nn.Module, images: PixelArray, transform: Transform, device: torch.device | str = "cpu"
) -> nn.Module:
    """Return a copy of a network with batch-norm statistics computed from the images.

    With its initial statistics, a random network would be 15 percentage points less accurate, and a
    comparison would attribute this difference to pretraining.
    """
    network = copy.deepcopy(encoder)
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return network
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the cumulative mean over all batches
    network.train()
    sample = evenly_spaced_indices(len(images), 16 * BATCH_SIZE)
    count = len(sample)
    sample = sample[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    for i in range(0, count - count % BATCH_SIZE or count, BATCH_SIZE):
        network(transform(images[sample[i : i + BATCH_SIZE]].to(device)))
    return network.eval()


def pixel_features(images: Tensor) -> Tensor:
    """Return each image's pixels as one row, from 0 to 1; large images are shrunk to 32 x 32."""
    images = images.float() / 255
    if max(images.shape[2:]) > MAX_PIXEL_SIDE:
        size = (MAX_PIXEL_SIDE, MAX_PIXEL_SIDE)
        images = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
    return images.flatten(1)


def statistic_features(images: Tensor) -> Tensor:
    """Return simple statistics of each image: means, standard deviations, mean gradients.

    Colour images have 3 means, 3 standard deviations and 6 mean absolute values (of first and
    second differences, and of the distance from 0.5). Gray images have 1 mean, 1 standard
    deviation, the same 6 values, and the means of the 4 quarters. In both cases the total is 12.
    """
    images = images.float() / 255
    gray = images.mean(dim=1)
    dx, dy = gray.diff(dim=2), gray.diff(dim=1)
    energies = [dx, dy, dx.diff(dim=2), dy.diff(dim=1), dx.diff(dim=1), gray - 0.5]
    numbers = [images.mean(dim=(2, 3)), images.std(dim=(2, 3))]
    numbers.append(torch.stack([e.abs().mean(dim=(1, 2)) for e in energies], dim=1))
    if images.shape[1] == 1:
        numbers.append(functional.adaptive_avg_pool2d(gray[:, None], 2).flatten(1))
    return torch.cat(numbers, dim=1)

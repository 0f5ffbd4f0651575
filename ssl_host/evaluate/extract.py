"""Representations of images: a network's, and the baselines that stand beside it."""

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
from ssl_host.toolkit.atomic_io import reserve
from ssl_host.toolkit.sampling import evenly_spaced_indices

BATCH = 256
"""Images at a time; a figure does not depend on it."""
PIXEL_SIDE = 32
"""Largest side of the raw-pixel baseline: beyond it probes are slow and not better."""

IN_MEMORY = 2 * 2**30
"""Bytes of features above which they are kept in a file: ImageNet's by a ResNet-50 take 10 GB."""

Prepare = Callable[[Tensor], Tensor]
Represent = Callable[[Tensor], Tensor]
"""From uint8 images B C H W to rows B D."""


def _room(count: int, dim: int, scratch: Path | None) -> Tensor:
    if 4 * count * dim <= IN_MEMORY:
        return torch.empty(count, dim, dtype=torch.float32)
    with tempfile.TemporaryFile(dir=scratch) as file:
        reserve(file.fileno(), 4 * count * dim, scratch or Path(tempfile.gettempdir()))
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=(count, dim)))


@torch.no_grad()
def representations(
    images: PixelArray, represents: Mapping[str, Represent], scratch: Path | None = None
) -> dict[str, Tensor]:
    """Several representations of the same images, by name, each N D, float32.

    Every image is read once for all of them, and the next block while this one is computed.

    Args:
        scratch: folder of files for what is large; they have no names and go when the tensor does.
    """
    found = {name: torch.empty(0, 0) for name in represents}
    starts = range(0, len(images), BATCH)
    for start, block in zip(starts, prefetch(images[i : i + BATCH] for i in starts), strict=True):
        for name, represent in represents.items():
            rows = represent(block)
            if start == 0:
                found[name] = _room(len(images), rows.shape[1], scratch)
            found[name][start : start + len(rows)] = rows
    return found


def network_features(
    encoder: nn.Module, prepare: Prepare, device: torch.device | str = "cpu"
) -> Represent:
    """A network's features, in evaluation mode, into which it is put."""
    encoder.eval()
    return lambda block: encoder(prepare(block.to(device))).float().cpu()


@torch.no_grad()
def recalibrate_batchnorm(
    encoder: nn.Module, images: PixelArray, prepare: Prepare, device: torch.device | str = "cpu"
) -> nn.Module:
    """A copy whose batch-norm statistics are those of the images.

    Without it a random network looks 15 points worse than it is, and pretraining seems to have
    learned what it only normalised.
    """
    twin = copy.deepcopy(encoder)
    norms = [m for m in twin.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return twin
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    twin.train()
    chosen = evenly_spaced_indices(len(images), 16 * BATCH)
    count = len(chosen)
    chosen = chosen[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    for i in range(0, count - count % BATCH or count, BATCH):
        twin(prepare(images[chosen[i : i + BATCH]].to(device)))
    return twin.eval()


def pixels(block: Tensor) -> Tensor:
    """Raw pixels, at most 32 a side, from 0 to 1."""
    block = block.float() / 255
    if max(block.shape[2:]) > PIXEL_SIDE:
        block = functional.interpolate(
            block, size=(PIXEL_SIDE, PIXEL_SIDE), mode="bilinear", antialias=True
        )
    return block.flatten(1)


def statistics(block: Tensor) -> Tensor:
    """A dozen simple numbers an image: means and deviations, gradient energies, quarters.

    For colour: 3 means, 3 deviations, 6 energies; for gray: 1, 1, 6 and the 4 quarters' means.
    """
    block = block.float() / 255
    gray = block.mean(dim=1)
    dx, dy = gray.diff(dim=2), gray.diff(dim=1)
    energies = [dx, dy, dx.diff(dim=2), dy.diff(dim=1), dx.diff(dim=1), gray - 0.5]
    numbers = [block.mean(dim=(2, 3)), block.std(dim=(2, 3))]
    numbers.append(torch.stack([e.abs().mean(dim=(1, 2)) for e in energies], dim=1))
    if block.shape[1] == 1:
        numbers.append(functional.adaptive_avg_pool2d(gray[:, None], 2).flatten(1))
    return torch.cat(numbers, dim=1)

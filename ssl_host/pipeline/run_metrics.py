"""What stands beside the accuracies of a run: its costs, and what to know about it."""

from __future__ import annotations

import math
import resource
import sys
from pathlib import Path

import torch

from ssl_host.config.ini import parse_ini, read_config_text
from ssl_host.config.run_config import RunConfig
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.data.decoding import BatchImages, DecodedImages
from ssl_host.train.loop import Training

WAITING = 0.2
"""Part of the training time spent waiting for images that is worth a word."""


def resource_metrics(training: Training) -> dict[str, float]:
    """Speed and memory."""
    costs: dict[str, float] = {}
    if training.images_per_s is not None and training.data_wait_fraction is not None:
        costs["throughput.images_per_s"] = training.images_per_s
        costs["throughput.data_wait_fraction"] = training.data_wait_fraction
    # Linux counts KiB, macOS bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    costs["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    if torch.cuda.is_available():
        costs["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return costs


def number(value: float) -> float | None:
    """JSON has no nan."""
    return float(value) if math.isfinite(value) else None


def data_bottleneck_hint(images: OpenedDatasets, wait_fraction: float | None) -> list[str]:
    """A sentence when the data is what held training back, with the setting to change."""
    if wait_fraction is None or wait_fraction < WAITING:
        return []
    pixels = images.train.images
    if isinstance(pixels, DecodedImages | BatchImages) and pixels.images.slow_hint:
        remedy = pixels.images.slow_hint
    elif isinstance(pixels, DecodedImages):
        remedy = (
            "decode them once by [loader] store = packed, or in more processes by [loader] "
            "num_workers"
        )
    elif images.train.on_disk:
        remedy = "put [loader] cache_dir on a faster disk, or make [loader] store_size smaller"
    else:
        remedy = "leave cores to it by a smaller [trainer] num_threads"
    return [f"training waited for images {100 * wait_fraction:.0f} % of the time: {remedy}"]


def same_dataset(path: Path, config: RunConfig) -> bool:
    """Whether weights are those of a run of ours with the same images held out."""
    stored = (path if path.is_dir() else path.parent) / "config.ini"
    if not stored.exists():
        return False
    texts = ((read_config_text(stored), str(stored)), (config.to_ini(), "config.ini"))
    theirs, ours = (parse_ini(text, name, "file")[0] for text, name in texts)
    return all(
        theirs[key].raw == ours[key].raw
        for key in theirs.keys() & ours.keys()
        if key == ("loader", "holdout") or (key[0] == "data" and key[1] != "image_size")
    )

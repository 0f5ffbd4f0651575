"""Measure training speed and memory use, and give a hint if data loading is slow."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

from ssl_host.config.run_config import RunConfig
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.data.decoding import BatchImages, DecodedImages
from ssl_host.errors import RunFolderError
from ssl_host.evaluate.measure import Measurement
from ssl_host.run_folder.folder import RunFolder
from ssl_host.run_folder.stored_config import has_same_dataset
from ssl_host.train.loop import TrainingResult

BOTTLENECK_ABOVE = 0.2
"""A hint is printed if training spends more than this fraction of its time waiting for images."""


def resource_metrics(training: TrainingResult) -> dict[str, float]:
    """Return training speed (images/s) and peak memory (MB) as metrics, keyed by metric name."""
    metrics: dict[str, float] = {}
    if training.images_per_s is not None and training.data_wait_fraction is not None:
        metrics["throughput.images_per_s"] = training.images_per_s
        metrics["throughput.data_wait_fraction"] = training.data_wait_fraction
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    metrics["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    if torch.cuda.is_available():
        metrics["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return metrics


def data_bottleneck_hint(images: OpenedDatasets, wait_fraction: float | None) -> list[str]:
    """Return a list with a hint about the setting to change if data loading is the bottleneck.

    The list is empty if it is not, or if ``wait_fraction`` is None.

    Args:
        images: the images of the run.
        wait_fraction: fraction of the training time spent waiting for images.
    """
    if wait_fraction is None or wait_fraction < BOTTLENECK_ABOVE:
        return []
    pixels = images.train.images
    if isinstance(pixels, DecodedImages | BatchImages) and pixels.images.slow_hint:
        advice = pixels.images.slow_hint
    elif isinstance(pixels, DecodedImages):
        advice = (
            "decode them once with [loader] store = packed, or in more processes with [loader] "
            "num_workers"
        )
    elif images.train.on_disk:
        advice = "put [loader] cache_dir on a faster disk, or reduce [loader] store_size"
    else:
        advice = "leave cores for loading with a smaller [trainer] num_threads"
    return [f"training waited for images {100 * wait_fraction:.0f} % of the time: {advice}"]


def trained_on_same_dataset(weights: Path, config: RunConfig) -> bool:
    """Return True if weights come from a run on the same data set with the same test split.

    Args:
        weights: the path of a run folder, or of a file in a run folder.
        config: the configuration of the new run.
    """
    folder = RunFolder(weights if weights.is_dir() else weights.parent)
    try:
        return has_same_dataset(folder.config_values(), config)
    except RunFolderError:
        return False


def online_accuracy(
    training: TrainingResult, measurement: Measurement, epochs: int
) -> dict[str, float]:
    """Return the online probe's accuracy on the test images as the metric ``online.top1``.

    The result is empty if nothing was trained, or if there is no probe or labelled test image.
    """
    probe, bank = training.state.probe, measurement.bank
    if probe is None or not epochs or bank is None:
        return {}
    if bank.test is None or bank.test.y is None:
        return {}
    correct = probe.predict(bank.test.x).argmax(dim=1).cpu() == bank.test.y
    return {"online.top1": float(correct.double().mean())}

"""Estimate the time that a run needs to decode images, either once or in every step."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ssl_host.compose import Experiment
from ssl_host.config.trainer_schema import TrainerSettings
from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.data.datasets import Storage, StoreOpener
from ssl_host.data.packed_cache import is_packed
from ssl_host.data.splits import Splits
from ssl_host.toolkit.cores import available_cores
from ssl_host.toolkit.resizing import image_for_crops, resize_to_square
from ssl_host.toolkit.sampling import evenly_spaced_indices

MAX_SAMPLE = 64
"""Largest number of images that are decoded to measure the time."""
MAX_SECONDS = 2.0
"""Time in seconds after which no more images are decoded."""


@dataclass(frozen=True)
class LoadingTime:
    """Estimated time that a run needs to decode images.

    Attributes:
        storage: where the training images are read from: ``memory``, ``packed``, ``files`` or
            ``batches`` (the dataset decodes whole batches).
        decode_s: time to decode one image in one thread, in seconds.
        num_packed: number of images that have to be decoded before training.
        workers: number of processes that decode images for one training process.
    """

    storage: Storage
    decode_s: float
    num_packed: int
    workers: int

    @property
    def packing_s(self) -> float:
        """Time to pack all images that are not in the cache, in seconds."""
        return self.num_packed * self.decode_s / available_cores()

    def seconds_per_step(
        self, compute_s: float, settings: TrainerSettings, num_images: int
    ) -> float:
        """Return the time per step if images are decoded while the previous step is computed.

        Args:
            compute_s: time of a step without decoding, in seconds.
            settings: the settings of ``[trainer]``.
            num_images: number of images that one process decodes for a step.
        """
        if self.storage in ("memory", "packed"):
            return compute_s
        decode_s, cores = num_images * self.decode_s, available_cores()
        if self.storage == "batches":
            return max(compute_s, decode_s)
        if not self.workers:
            return compute_s + decode_s
        # On a CPU, the workers and the training share the cores.
        threads = int(settings.num_threads) if settings.accelerator == "cpu" else 0
        busy_s = compute_s * min(threads, cores) + decode_s
        return max(compute_s, decode_s / min(self.workers, cores), busy_s / cores)

    def describe(self) -> str:
        """Return text for the dry run's table that says which images are decoded, and when."""
        if self.storage == "memory":
            return "none, the images are in memory"
        if self.storage == "packed" and not self.num_packed:
            return "none, the images are already packed"
        speed = f"{1000 * self.decode_s:.2g} ms per image and core"
        if self.storage == "packed":
            return f"{speed}, once for {self.num_packed:,} images"
        by = f"by {self.workers} workers" if self.storage == "files" else "in batches"
        return f"{speed}, in every epoch {by}"


def measure_loading(experiment: Experiment, splits: Splits) -> LoadingTime:
    """Return the estimated decoding time of the run, from some training images."""
    loader = experiment.config.loader
    opener = StoreOpener(experiment.source, loader)
    storage = opener.storage(splits.train)
    decode_s, num_packed = 0.0, 0
    if storage == "packed":
        shape = (experiment.source.channels, opener.size, opener.size)
        for images in _separate_splits(splits):
            if opener.storage(images) == "packed" and not is_packed(images, shape, opener.cache):
                num_packed += len(images)
    if storage == "batches":
        decode_s = _time_batch(splits.train)
    elif storage == "files" or num_packed:
        decode_s = _time_images(experiment, splits.train, opener.size, storage)
    return LoadingTime(storage, decode_s, num_packed, int(loader.num_workers))


def _separate_splits(splits: Splits) -> list[ImageDataset]:
    """Return the splits that are packed separately."""
    is_stored = splits.probe is splits.train or splits.probe_is_part_of_train
    parts = [splits.train, None if is_stored else splits.probe, splits.test]
    return [images for images in parts if images is not None]


def _time_batch(images: ImageDataset) -> float:
    """Return the time per image of a dataset that decodes whole batches, in seconds."""
    index = evenly_spaced_indices(len(images), MAX_SAMPLE)
    images.read_many(index)  # the first batch also starts the threads
    start = time.perf_counter()
    images.read_many(index)
    return (time.perf_counter() - start) / len(index)


def _time_images(
    experiment: Experiment, images: ImageDataset, size: int, storage: Storage
) -> float:
    """Return the time to decode and crop an image in one thread, in seconds."""
    views, seed = experiment.views, experiment.config.run.seed
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    try:
        for i in evenly_spaced_indices(len(images), MAX_SAMPLE).tolist():
            start = time.perf_counter()
            try:
                pixels = images.read(i)
                if storage == "files" and views.form == "view_specs":
                    views.crops(
                        image_for_crops(pixels, images.fit)[None], torch.tensor([i]), 0, seed
                    )
                else:
                    resize_to_square(pixels, size, images.fit)
            except UnreadableImage:
                continue
            times.append(time.perf_counter() - start)
            if sum(times) > MAX_SECONDS:
                break
    finally:
        torch.set_num_threads(threads)
    warm = times[1:] or times  # the first image is slower than the others
    return sum(warm) / max(1, len(warm))

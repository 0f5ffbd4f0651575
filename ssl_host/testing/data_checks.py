"""Conformance checks for data sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.errors import DataError
from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.sampling import evenly_spaced_indices

NUM_READ = 32
"""Largest number of images that a check reads from a split."""
_NUM_COMPARED = 2000
"""Number of training images that are compared with test images."""


def settings_declared(target: CheckTarget) -> str:
    """Check that the source reads only settings that its Config declares."""
    settings, read, unknown = track_reads(target.make_settings())
    source = target.make(settings)
    try:
        source.open("train")
    except DataError as error:
        raise NotApplicable(f"the data is not available: {error}") from None
    return check_recorded_reads(target, read, unknown, {"image_size"})


def _open(target: CheckTarget, split: str = "train") -> ImageDataset | None:
    """Open a split of the source and return its dataset, or None if the split does not exist.

    Raises:
        NotApplicable: when the data is not available.
        CheckFailure: when the source returns None for the training split.
    """
    source = target.make()
    try:
        images: ImageDataset | None = source.open(split)
    except DataError as error:
        raise NotApplicable(f"the data is not available: {error}") from None
    if images is None and split == "train":
        raise CheckFailure(
            "open('train') returned None",
            "there are no images to train on",
            "return an ImageDataset; if data is missing, raise a DataError that says what to do",
        )
    return images


def _readable(images: ImageDataset, indices: Iterable[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield the index and the pixels of each image that can be read."""
    for i in indices:
        try:
            image = images.read(i)
        except UnreadableImage:
            continue
        yield i, image


def _read_sample(images: ImageDataset) -> dict[int, Tensor]:
    """Return up to 32 evenly spaced images, keyed by index; unreadable ones are left out."""
    return dict(_readable(images, evenly_spaced_indices(len(images), NUM_READ).tolist()))


def images_are_uint8(target: CheckTarget) -> str:
    """Check that images are uint8 (C, H, W), and that a second read gives the same pixels."""
    images = _open(target)
    assert images is not None
    channels = target.make().channels
    sample = _read_sample(images)
    if not sample:
        raise CheckFailure(
            "the source has no readable image",
            "a run would end before its first step",
            "raise a DataError that says where the source looks for images",
        )
    for i, image in sample.items():
        if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != channels:
            raise CheckFailure(
                f"{images.name(i)} is {image.dtype} of shape {tuple(image.shape)}",
                f"the host expects uint8 images with {channels} channels",
                f"return a uint8 tensor of shape ({channels}, H, W)",
            )
        if not torch.equal(image, images.read(i)):
            raise CheckFailure(
                f"{images.name(i)} differs when it is read again",
                "views must depend only on the seed, the epoch and the image",
                "leave randomness to augmentations",
            )
    return f"{len(images)} images, {channels} channels"


def labels_are_valid(target: CheckTarget) -> str:
    """Check that labels are int64, each is -1 or a class index, and every class has a name."""
    images = _open(target)
    assert images is not None
    if images.labels is None:
        if images.classes:
            raise CheckFailure(
                "the dataset has classes but no labels",
                "evaluators would expect labels",
                "leave classes empty if there are no labels",
            )
        return "no labels"
    labels = images.labels
    smallest, largest = (int(labels.min()), int(labels.max())) if len(labels) else (0, -1)
    is_valid = len(labels) == len(images) and labels.dtype == torch.int64 and smallest >= -1
    if not is_valid or largest >= len(images.classes):
        raise CheckFailure(
            f"there are {len(labels)} labels of {labels.dtype} up to {largest}, for {len(images)} "
            f"images and {len(images.classes)} classes",
            "classifiers have one output per class name, and labels index them",
            "return int64 labels from 0, -1 for an image without a label, and one name per class",
        )
    return f"{len(images.classes)} classes"


def splits_are_disjoint(target: CheckTarget) -> str:
    """Check that up to 32 test images are not among the first 2,000 training images."""
    train, test = _open(target), _open(target, "test")
    assert train is not None
    if test is None:
        return "no test split: the host splits the training images"
    compared = _readable(train, range(min(len(train), _NUM_COMPARED)))
    trained = {image.numpy().tobytes() for _, image in compared}
    shared = [
        test.name(i)
        for i, image in _read_sample(test).items()
        if image.numpy().tobytes() in trained
    ]
    if shared:
        raise CheckFailure(
            f"{shared[0]} of the test split is also a training image",
            "metrics would be measured on training images",
            "return disjoint splits",
        )
    return f"{len(test)} test images"


def concurrent_reads(target: CheckTarget) -> str:
    """Check that pixels are correct when threads and processes read images concurrently."""
    images = _open(target)
    assert images is not None
    if images.image_size is not None:
        raise NotApplicable("it decodes whole batches, which the host reads in one thread")
    sample = _read_sample(images)
    indices = list(sample) * 4
    with ThreadPoolExecutor(8) as pool:
        _compare_reads(images, sample, indices, pool.map(images.read, indices), "threads")
    # Workers inherit the files that are open in this process, as in a training run.
    loader = DataLoader(_IndexedReads(images, indices), batch_size=None, num_workers=2)
    _compare_reads(images, sample, indices, loader, "worker processes")
    return f"{len(sample)} images, 8 threads, 2 processes"


class _IndexedReads(Dataset[Tensor]):
    """Dataset of the images at given indices, for the worker processes of a DataLoader."""

    def __init__(self, images: ImageDataset, indices: list[int]) -> None:
        self.images = images
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Tensor:
        return self.images.read(self.indices[position])


def _compare_reads(
    images: ImageDataset,
    expected: dict[int, Tensor],
    indices: list[int],
    actual: Iterable[Tensor],
    readers: str,
) -> None:
    """Raise CheckFailure if reading fails or an image differs from the expected one.

    Args:
        images: the dataset, for the names of images.
        expected: the pixels of each image, keyed by index.
        indices: the index of each image that is read.
        actual: the pixels of each image, in the order of ``indices``.
        readers: text for what reads at the same time, such as ``threads``.
    """
    fix = (
        "open files in the thread and process that reads them, or keep one handle per process "
        "(keyed by os.getpid()) and guard it with a lock"
    )
    try:
        pairs = [*zip(indices, actual, strict=True)]
    except Exception as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        why = "the host packs images in several threads and decodes large datasets in processes"
        raise CheckFailure(f"reading fails in {readers}: {last}", why, fix) from None
    for i, image in pairs:
        if not torch.equal(image, expected[i]):
            raise CheckFailure(
                f"{images.name(i)} differs when {readers} read at the same time",
                "a likely cause is a shared file handle: every reader moves its position",
                fix,
            )

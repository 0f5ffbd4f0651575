"""Data sources: what their images and labels must be."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.errors import DataError
from ssl_host.testing.component_checks import judge_reading, watched
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.sampling import evenly_spaced_indices

READ = 32
"""Images of a split that are read."""


def settings_declared(target: CheckTarget) -> str:
    """Nothing is read that Config does not declare."""
    settings, read, unknown = watched(target.make_settings())
    source = target.make(settings)
    try:
        source.open("train")
    except DataError as error:
        raise NotApplicable(f"the data is not here: {error}") from None
    return judge_reading(target, read | {"image_size"}, unknown, set())


def _opened(target: CheckTarget, split: str = "train") -> ImageDataset | None:
    source = target.make()
    try:
        found: ImageDataset | None = source.open(split)
    except DataError as error:
        raise NotApplicable(f"the data is not here: {error}") from None
    if found is None and split == "train":
        raise CheckFailure(
            "open('train') returned None",
            "pretraining has nothing to look at",
            "return an ImageDataset; raise DataError with what to do where the data is missing",
        )
    return found


def _some(images: ImageDataset) -> dict[int, Tensor]:
    found = {}
    for i in evenly_spaced_indices(len(images), READ).tolist():
        try:
            found[i] = images.read(i)
        except UnreadableImage:
            continue
    return found


def images_are_uint8(target: CheckTarget) -> str:
    """Images are uint8 C H W with the source's channels, the same when read again."""
    images = _opened(target)
    assert images is not None
    channels = target.make().channels
    found = _some(images)
    if not len(images) or not found:
        raise CheckFailure(
            "there is no image",
            "a run would end before its first step",
            "raise DataError that says where images were looked for",
        )
    for i, image in found.items():
        if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != channels:
            raise CheckFailure(
                f"{images.name(i)} is {image.dtype} of shape {tuple(image.shape)}",
                "stores keep bytes, and the engine takes them",
                f"return uint8 of shape {channels} x H x W",
            )
        if not torch.equal(image, images.read(i)):
            raise CheckFailure(
                f"{images.name(i)} is another image when read again",
                "views would not be a function of the image's number",
                "leave chance to augmentations",
            )
    return f"{len(images)} images, {channels} channels"


def labels_are_valid(target: CheckTarget) -> str:
    """Labels are int64 from 0, one an image, each with its class's name."""
    images = _opened(target)
    assert images is not None
    if images.labels is None:
        if images.classes:
            raise CheckFailure(
                "there are classes without labels",
                "probes would be made for nothing",
                "leave classes empty where there are no labels",
            )
        return "no labels"
    labels = images.labels
    top = int(labels.max()) if len(labels) else -1
    fits = len(labels) == len(images) and labels.dtype == torch.int64 and int(labels.min()) >= 0
    if not fits or top >= len(images.classes):
        raise CheckFailure(
            f"{len(labels)} labels of {labels.dtype} up to {top} for {len(images)} images and "
            f"{len(images.classes)} classes",
            "probes are sized by the classes' names and indexed by labels",
            "give int64 labels from 0 and as many names",
        )
    return f"{len(images.classes)} classes"


def splits_are_disjoint(target: CheckTarget) -> str:
    """No image of the test split is one of the training images."""
    train, test = _opened(target), _opened(target, "test")
    assert train is not None
    if test is None:
        return "no test split: the host cuts one"
    seen = {train.read(i).numpy().tobytes() for i in _some_more(train)}
    again = [test.name(i) for i, image in _some(test).items() if image.numpy().tobytes() in seen]
    if again:
        raise CheckFailure(
            f"{again[0]} of the test split is among the training images",
            "figures would be measured on what was trained on",
            "keep the splits apart",
        )
    return f"{len(test)} held out"


def concurrent_reads(target: CheckTarget) -> str:
    """Images are the same read by several threads at once, and in worker processes."""
    images = _opened(target)
    assert images is not None
    if images.image_size is not None:
        raise NotApplicable("it decodes whole batches, which the host asks one thread for")
    found = _some(images)
    numbers = list(found) * 4
    with ThreadPoolExecutor(8) as pool:
        _judge_side_by_side(images, found, numbers, pool.map(images.read, numbers), "threads")
    # With what the parent process has opened by now, as the host's own workers begin.
    loader = DataLoader(_Readings(images, numbers), batch_size=None, num_workers=2)
    _judge_side_by_side(images, found, numbers, loader, "worker processes")
    return f"{len(found)} images, 8 threads, 2 processes"


class _Readings(Dataset[Tensor]):
    """Images as the loader's workers read them."""

    def __init__(self, images: ImageDataset, numbers: list[int]) -> None:
        self.images = images
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> Tensor:
        return self.images.read(self.numbers[place])


def _judge_side_by_side(
    images: ImageDataset,
    expected: dict[int, Tensor],
    numbers: list[int],
    found: Iterable[Tensor],
    readers: str,
) -> None:
    fix = (
        "open files in the thread and process that reads them, or keep handles by os.getpid() "
        "behind a lock of that process"
    )
    try:
        pairs = [*zip(numbers, found, strict=True)]
    except Exception as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        why = "stores are packed by threads, and larger sets are decoded by processes"
        raise CheckFailure(f"reading fails in {readers}: {last}", why, fix) from None
    for number, image in pairs:
        if not torch.equal(image, expected[number]):
            raise CheckFailure(
                f"{images.name(number)} is another image when {readers} read",
                "they share what was opened, and move each other's place in it",
                fix,
            )


def _some_more(images: ImageDataset) -> list[int]:
    found = []
    for i in range(min(len(images), 2000)):
        try:
            images.read(i)
        except UnreadableImage:
            continue
        found.append(i)
    return found

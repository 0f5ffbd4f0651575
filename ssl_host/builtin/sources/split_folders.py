"""Find the folders of the training and the held-out images in a folder of images."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ssl_host import DataError, FileImages, ImageListing, RecordSource

_MIN_CLASS_FOLDERS = 2
"""Smallest number of image folders next to ``train`` that are assumed to be classes."""


def subfolders(folder: Path) -> list[str]:
    """Return the names of the visible subfolders, sorted; empty if the folder cannot be listed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
        return sorted(name for name in names if not name.startswith((".", "_")))
    return []  # the listing of the images reports the reason


def find_splits(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the names of the training and the held-out folder; None for one that is not found.

    Names with other words, such as ``seg_train``, need a matching folder, such as ``seg_test``.
    Spellings other than ``train``, such as ``Training``, count only if there is a held-out folder.
    """
    found = {name: RecordSource.split_words(name) for name in names}
    training = [name for name, (splits, _) in found.items() if set(splits) == {"train"}]
    held_out = [name for name, (splits, _) in found.items() if splits and "train" not in splits]

    def order(name: str) -> tuple[object, ...]:
        splits, others = found[name]
        is_usual = name.lower() in ("train", "val", "test")
        return others, splits[0] == "test", not is_usual, name != name.lower(), name

    for name in sorted(training, key=order):
        partners = [other for other in held_out if found[other][1] == found[name][1]]
        if partners:
            return name, min(partners, key=order)
    return ("train" if "train" in names else None), None


def is_train_a_class(root: Path, siblings: Sequence[str], labelled: bool | None) -> bool:
    """Return True if a folder ``train`` without a held-out folder is a class, as in CIFAR-100.

    Args:
        root: folder that contains ``train``.
        siblings: names of the other folders of images in it.
        labelled: the setting ``labelled``, which decides if both are possible.

    Raises:
        DataError: if ``train`` may be a class or a split.
    """
    has_classes = subfolders(root / "train") and not has_images(root / "train")
    flat = [name for name in siblings if has_images(root / name)]
    if has_classes or not flat or labelled is False:
        return False
    if labelled:
        return True
    if len(flat) >= _MIN_CLASS_FOLDERS and not any(
        RecordSource.split_words(name)[0] for name in siblings
    ):
        return True
    raise DataError(
        f"[data] {root}: the folder train may be a class, like {', '.join(flat[:5])}, or contain "
        "all training images; set [data] labelled = true if these folders are classes, "
        f"or root = {root / 'train'} to use only its images"
    )


def class_notes(root: Path, names: Sequence[str]) -> Iterator[str]:
    """Yield a note if class folders have the names of splits, such as ``train`` and ``val``.

    Args:
        root: folder that contains the class folders.
        names: names of the class folders.
    """
    splits = {name: RecordSource.split_words(name) for name in names}
    suspects = [name for name, (words, others) in splits.items() if words and not others]
    named = [name for name, (words, _) in splits.items() if words]
    is_pair = len({"train" in splits[name][0] for name in named}) > 1
    found = named if is_pair else suspects
    if found and len(names) > 1:
        others = ", ".join([name for name in names if name not in found][:3])
        verb = "is used as a class" if len(found) == 1 else "are used as classes"
        like = f", like {others}" if others else ""
        yield (
            f"{root}: {', '.join(found[:5])} {verb}{like}; if these folders are splits of the "
            "dataset, call them train and val, or set [data] root to one of them"
        )


def unwrap_nested_folder(folder: Path) -> Path:
    """Return the inner of two nested folders of the same name, or else the folder itself.

    Archives are often unpacked in this way, for example to ``seg_train/seg_train``; without this
    function the inner folder would be taken for the only class.
    """
    inner = folder / folder.name
    is_wrapper = (
        inner.is_dir()  # first, because the other tests list a folder that may be large
        and subfolders(folder) == [folder.name]
        and not has_images(folder)
        and subfolders(inner)
    )
    return inner if is_wrapper else folder


def has_images(folder: Path) -> bool:
    """Return True if a folder contains images directly."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(FileImages.suffixes) for entry in entries)
    return False


def reject_nested_classes(listing: ImageListing, classes: Sequence[str]) -> None:
    """Raise DataError if all class folders have the same subfolders, which may be the classes.

    Examples are ``root/DOMAIN/CLASS`` and ``root/SPLIT/CLASS``. Only folders with images count.
    """
    prefix = os.path.join(listing.folder, "")  # noqa: PTH118 - no Path for each file
    common: set[str] | None = None
    position = 0
    for name, count in listing.groups:
        paths = listing.paths[position : position + count]
        position += count
        if name not in classes:
            continue
        start = len(prefix) + len(name) + 1
        found = {path[start:].partition(os.sep)[0] for path in paths if os.sep in path[start:]}
        if len(found) < 2 or (common is not None and found != common):
            return
        common = found
    if common and len(classes) > 1:
        inner = ", ".join(sorted(common)[:5])
        raise DataError(
            f"[data] {listing.folder}: the folders {', '.join(classes[:5])} have the same "
            f"subfolders ({inner}), so the subfolders may be the classes and the folders "
            "splits or domains; set [data] root to one of the folders, call splits train and val, "
            f"or set labelled = true if {classes[0]} and {classes[1]} are classes"
        )

"""A data source into packed files, all of them or none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import ssl_host
from ssl_host import ArrayImages, DataError, DataSource, ImageDataset, RunError, UserError
from ssl_plugin_ffcv.library import library
from ssl_plugin_ffcv.sidecar import (
    SPLITS,
    SUFFIX,
    VERSION,
    About,
    Part,
    SplitName,
    file_of,
    sidecar_of,
)
from ssl_plugin_ffcv.writing import Form, write_beton

PHOTO_MARGIN = 8 / 7
"""Packed photographs keep a margin around the view, as 256 for 224 pixels."""

QUALITY = 90

Tell = Callable[[str, int, int], None]
"""Told a split, its images done and in all."""


@dataclass(frozen=True)
class Wanted:
    """What a packing is asked for.

    Attributes:
        data: name of the data source.
        settings: of that source, as they stand in a configuration.
        size: side of the packed images in pixels, None for what suits the source.
        quality: of the JPEGs; None keeps every pixel.
        workers: threads.
        force: overwrite what is there.
    """

    data: str
    settings: Mapping[str, str]
    size: int | None = None
    quality: int | None = QUALITY
    workers: int = 1
    force: bool = False


def pack(out: Path, wanted: Wanted, tell: Tell | None = None) -> About:
    """Write OUT.beton, OUT.test.beton and OUT.probe.beton, as far as the source has them.

    They are written in a folder beside, and renamed when all are there, OUT.json last; without
    it none of them is read.

    Raises:
        UserError: when something that was given is wrong; a DataError for the images.
        RunError: when the source or the disk fails.
    """
    check_out(out, wanted.force)
    ffcv = library()
    source: DataSource = ssl_host.build("data", wanted.data, **wanted.settings)
    if source.channels not in (1, 3):
        raise DataError(
            f"[data] {wanted.data} has {source.channels} channels, and a packed file holds gray "
            "or colour images, 1 or 3"
        )
    found = _open(source, wanted)
    side, image_size = _sizes(source, found["train"], wanted)
    form = Form(side, source.channels, wanted.quality, wanted.workers)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.stem}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise UserError(f"{out}: cannot be written there: {error.strerror}") from None
    try:
        parts = {
            split: _write(beside / file_of(out, split).name, images, form, split, tell)
            for split, images in found.items()
        }
        about = About(
            version=VERSION,
            side=side,
            channels=1 if source.channels == 1 else 3,
            image_size=image_size,
            mean=tuple(source.mean),
            std=tuple(source.std),
            quality=wanted.quality,
            source=wanted.data,
            recipe={k: dict(v) for k, v in source.recipe.items()},
            ffcv=ffcv.version,
            plugin=version("ssl-plugin-ffcv"),
            splits=parts,
        )
        listing = beside / sidecar_of(out).name
        listing.write_text(about.model_dump_json(indent=1), encoding="utf-8")
        _put_in_place(beside, out)
    except OSError as error:
        raise RunError(f"{out}: could not be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return about


def check_out(out: Path, force: bool) -> None:
    """Refuse a name that says something else, and one that is taken."""
    if out.suffix != SUFFIX:
        raise UserError(f"{out}: the name of a packed file ends in {SUFFIX}: {out.name}{SUFFIX}")
    taken = [path for path in _all_files(out) if path.exists()]
    folder = next((path for path in taken if path.is_dir()), None)
    if folder is not None:
        raise UserError(f"{folder}: is a folder; give another name")
    if taken and not force:
        raise UserError(f"{taken[0]}: is there already; give another name, or --force")


def _all_files(out: Path) -> list[Path]:
    return [*(file_of(out, split) for split in SPLITS), sidecar_of(out)]


def _open(source: DataSource, wanted: Wanted) -> dict[SplitName, ImageDataset]:
    """The splits that the source has; a probe split only where it is not the training images."""
    train = _images(source, "train", wanted)
    if train is None:
        raise DataError(f"[data] {wanted.data} has no training images")
    found: dict[SplitName, ImageDataset] = {"train": train}
    test = _images(source, "test", wanted)
    if test is not None:
        found["test"] = test
    if train.labels is None:
        probe = _images(source, "probe", wanted)
        if probe is not None and probe.labels is not None:
            found["probe"] = probe
    return found


def _images(source: DataSource, split: SplitName, wanted: Wanted) -> ImageDataset | None:
    try:
        images = source.open(split)
        return images if images is not None and len(images) else None
    except (UserError, RunError):
        raise
    except Exception as error:
        raise RunError(
            f"data {wanted.data} failed while opening its {split} images: "
            f"{type(error).__name__}: {error}"
        ) from error


def _sizes(source: DataSource, images: ImageDataset, wanted: Wanted) -> tuple[int, int]:
    """Sides in pixels of the packed images and of a view.

    Arrays are packed as they are. Files get the margin that the host's own store gives them;
    where only --size is given, the view follows from it.
    """
    if isinstance(images, ArrayImages):
        return wanted.size or min(images.images.shape[-2:]), source.image_size
    if images.image_size is not None:
        return wanted.size or images.image_size, source.image_size
    if wanted.size is None:
        return round(source.image_size * PHOTO_MARGIN), source.image_size
    if "image_size" in wanted.settings:
        return wanted.size, source.image_size
    return wanted.size, round(wanted.size / PHOTO_MARGIN)


def _write(
    file: Path, images: ImageDataset, form: Form, split: SplitName, tell: Tell | None
) -> Part:
    count = len(images)
    report = None if tell is None else (lambda done: tell(split, done, count))
    try:
        written = write_beton(file, images, form, report)
    except (UserError, RunError, OSError):
        raise
    except Exception as error:
        raise RunError(
            f"packing the {split} images failed: {type(error).__name__}: {error}"
        ) from error
    return Part(
        bytes=file.stat().st_size,
        labelled=images.labels is not None,
        classes=images.classes if images.labels is not None else (),
        names=tuple(images.name(i) for i in written.kept),
        skipped=tuple(written.skipped),
    )


def _put_in_place(beside: Path, out: Path) -> None:
    for path in reversed(_all_files(out)):  # the listing of what was there goes first
        path.unlink(missing_ok=True)
    for path in _all_files(out):
        made = beside / path.name
        if made.exists():
            with made.open("rb") as file:
                os.fsync(file.fileno())
            made.replace(path)

"""Pack a data source into files, and move them into place once all are complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import ssl_host
from ssl_host import (
    PHOTO_MARGIN,
    ArrayImages,
    DataError,
    DataSource,
    ImageDataset,
    RunError,
    UserError,
    check_images,
)
from ssl_plugin_ffcv.library import library
from ssl_plugin_ffcv.sidecar import (
    SPLITS,
    SUFFIX,
    VERSION,
    PackInfo,
    SplitInfo,
    SplitName,
    sidecar_file,
    split_file,
)
from ssl_plugin_ffcv.writing import ImageFormat, write_beton

QUALITY = 90
"""Default JPEG quality."""

ProgressCallback = Callable[[str, int, int], None]
"""Function that is called with a split, the number of its finished images, and their total."""


@dataclass(frozen=True)
class PackOptions:
    """Options for packing a data source.

    Attributes:
        data: name of the data source.
        settings: settings of the source, as text in the syntax of a configuration file.
        size: height and width of the packed images in pixels; None uses a default that depends on
            the source.
        quality: JPEG quality from 1 to 100; None stores uncompressed pixels.
        workers: number of threads that decode and compress images.
        force: True replaces existing files.
    """

    data: str
    settings: Mapping[str, str]
    size: int | None = None
    quality: int | None = QUALITY
    workers: int = 1
    force: bool = False


def pack(out: Path, options: PackOptions, report: ProgressCallback | None = None) -> PackInfo:
    """Write OUT.beton and, if the source has these splits, OUT.test.beton and OUT.probe.beton.

    The files are written to a temporary folder and moved into place when all are complete. OUT.json
    is moved last; without it, the other files are not read.

    Args:
        out: path of OUT.beton.
        options: data source, its settings, and the format of the packed images.
        report: function that is called after each image with the split, the number of finished
            images and the total.

    Returns:
        The content of OUT.json.

    Raises:
        UserError: when an option is invalid. Its subclass DataError is raised when the images
            cannot be packed.
        RunError: when the data source fails or a file cannot be written.
    """
    check_output_path(out, options.force)
    ffcv = library()
    source: DataSource = ssl_host.build("data", options.data, **options.settings)
    if source.channels not in (1, 3):
        raise DataError(
            f"[data] {options.data} has {source.channels} channels, but packed files support only "
            "1 or 3"
        )
    datasets = _open_splits(source, options)
    train = datasets["train"]
    side, image_size = _sizes(source, train, options)
    warnings, notes = check_images(train, source)
    image_format = ImageFormat(side, source.channels, options.quality, options.workers)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.stem}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
    try:
        splits = {
            name: _write(staging / split_file(out, name).name, images, image_format, name, report)
            for name, images in datasets.items()
        }
        info = PackInfo(
            version=VERSION,
            side=side,
            channels=1 if source.channels == 1 else 3,
            image_size=image_size,
            mean=tuple(source.mean),
            std=tuple(source.std),
            quality=options.quality,
            source=options.data,
            recipe={k: dict(v) for k, v in source.recipe.items()},
            ffcv=ffcv.version,
            plugin=version("ssl-plugin-ffcv"),
            fit=train.fit,
            value_range=train.value_range,
            notes=(*source.notes, *notes),
            warnings=tuple(warnings),
            splits=splits,
        )
        sidecar = staging / sidecar_file(out).name
        sidecar.write_text(info.model_dump_json(indent=1), encoding="utf-8")
        _replace_files(staging, out)
    except OSError as error:
        raise RunError(f"{out}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return info


def check_output_path(out: Path, force: bool) -> None:
    """Check that ``out`` ends in ``.beton`` and that its files may be written.

    Args:
        out: path of OUT.beton.
        force: True if existing files may be replaced; otherwise none may exist.

    Raises:
        UserError: when the suffix is different, or an output path is a folder or, unless ``force``
            is set, an existing file.
    """
    if out.suffix != SUFFIX:
        raise UserError(
            f"{out}: the name of a packed file must end in {SUFFIX}; use {out.name}{SUFFIX}"
        )
    existing = [path for path in _all_files(out) if path.exists()]
    folder = next((path for path in existing if path.is_dir()), None)
    if folder is not None:
        raise UserError(f"{folder}: is a folder; use a different name")
    if existing and not force:
        raise UserError(f"{existing[0]}: already exists; use a different name, or --force")


def _all_files(out: Path) -> list[Path]:
    """Return the paths of all files that may belong to OUT.beton, OUT.json last."""
    return [*(split_file(out, split) for split in SPLITS), sidecar_file(out)]


def _open_splits(source: DataSource, options: PackOptions) -> dict[SplitName, ImageDataset]:
    """Return the splits to pack, including ``probe`` only if training images have no labels.

    Raises:
        DataError: when the source has no training images.
        RunError: when the source fails.
    """
    train = _open_split(source, "train", options)
    if train is None:
        raise DataError(f"[data] {options.data} has no training images")
    datasets: dict[SplitName, ImageDataset] = {"train": train}
    test = _open_split(source, "test", options)
    if test is not None:
        datasets["test"] = test
    if train.labels is None:
        probe = _open_split(source, "probe", options)
        if probe is not None and probe.labels is not None:
            datasets["probe"] = probe
    return datasets


def _open_split(source: DataSource, split: SplitName, options: PackOptions) -> ImageDataset | None:
    """Return the images of a split, or None if the source does not have any.

    Raises:
        RunError: when the source raises an unexpected exception.
    """
    try:
        images = source.open(split)
        return images if images is not None and len(images) else None
    except (UserError, RunError):
        raise
    except Exception as error:
        raise RunError(
            f"data {options.data} failed while opening its {split} images: "
            f"{type(error).__name__}: {error}"
        ) from error


def _sizes(source: DataSource, images: ImageDataset, options: PackOptions) -> tuple[int, int]:
    """Return two sizes in pixels: the size of the packed images and the default size of a view.

    Arrays keep their size. Images from files are packed larger than a view, by the same margin as
    in the host's image store. If only --size is set, the view size is computed from it.
    """
    if isinstance(images, ArrayImages):
        return options.size or min(images.images.shape[-2:]), source.image_size
    if images.image_size is not None:
        return options.size or images.image_size, source.image_size
    if options.size is None:
        return round(source.image_size * PHOTO_MARGIN), source.image_size
    if "image_size" in options.settings:
        return options.size, source.image_size
    return options.size, round(options.size / PHOTO_MARGIN)


def _write(
    file: Path,
    images: ImageDataset,
    image_format: ImageFormat,
    split: SplitName,
    report: ProgressCallback | None,
) -> SplitInfo:
    """Write the packed file of one split and return its description.

    Raises:
        RunError: when writing fails with an unexpected exception.
    """
    count = len(images)
    report_image = None if report is None else (lambda done: report(split, done, count))
    try:
        result = write_beton(file, images, image_format, report_image)
    except (UserError, RunError, OSError):
        raise
    except Exception as error:
        raise RunError(
            f"packing the {split} images failed: {type(error).__name__}: {error}"
        ) from error
    return SplitInfo(
        bytes=file.stat().st_size,
        labelled=images.labels is not None,
        classes=images.classes if images.labels is not None else (),
        names=tuple(images.name(i) for i in result.indices),
        skipped=tuple(result.skipped),
    )


def _replace_files(staging: Path, out: Path) -> None:
    """Delete existing files, then move the new files to their final names."""
    for path in reversed(_all_files(out)):  # delete the old sidecar file first
        path.unlink(missing_ok=True)
    for path in _all_files(out):
        new = staging / path.name
        if new.exists():
            with new.open("rb") as file:
                os.fsync(file.fileno())
            new.replace(path)

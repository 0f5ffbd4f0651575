"""Read the sidecar file OUT.json, which contains metadata that FFCV files cannot store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ssl_host import DataError, MissingImage

SUFFIX = ".beton"
VERSION = 3
"""Version of the format of OUT.json."""
PACK = "`ssl-host data pack`"

SplitName = Literal["train", "test", "probe"]
SPLITS: tuple[SplitName, ...] = ("train", "test", "probe")


class _StrictModel(BaseModel):
    """Base class of data models that reject unknown keys, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SplitInfo(_StrictModel):
    """Description of a packed split.

    Attributes:
        bytes: size of the file in bytes, to detect incomplete or replaced files.
        labelled: True if the images have labels.
        classes: class names in the order of the labels.
        names: names of the images in the source, in the order in which the file stores them.
        skipped: images that could not be read, with their index in the source and their label.
    """

    bytes: int = Field(ge=1)
    labelled: bool
    classes: tuple[str, ...]
    names: tuple[str, ...] = Field(min_length=1)
    skipped: tuple[MissingImage, ...]

    @property
    def total(self) -> int:
        """Number of images in this split of the data source, including skipped images."""
        return len(self.names) + len(self.skipped)


class PackInfo(_StrictModel):
    """Description of a packed data set, stored in OUT.json.

    Attributes:
        version: format version of this description.
        side: height and width of the packed images in pixels.
        channels: number of channels of the images, 1 or 3; the files always contain 3.
        image_size: default size of a view in pixels.
        mean: mean of each channel, for values from 0 to 1.
        std: standard deviation of each channel, for values from 0 to 1.
        quality: JPEG quality from 1 to 100; None if the images are not compressed.
        source: name of the data source that was packed.
        recipe: settings that the source suggests for other sections of a configuration.
        ffcv: version of ffcv that wrote the files.
        plugin: version of this plugin that wrote the files.
        fit: how the images were made square.
        value_range: pixel values that became black and white; None for the range of the type.
        notes: remarks of the source about the images.
        warnings: remarks about images that are probably not read as intended.
        splits: descriptions of the packed splits, keyed by name.
    """

    version: Literal[3]
    side: int = Field(ge=1)
    channels: Literal[1, 3]
    image_size: int = Field(ge=1)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    quality: int | None
    source: str
    recipe: dict[str, dict[str, Any]]
    ffcv: str
    plugin: str
    fit: Literal["crop", "squash", "pad"] = "crop"
    value_range: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    splits: dict[SplitName, SplitInfo]


def split_file(path: Path, split: SplitName) -> Path:
    """Return the path of a split's file: OUT.beton, OUT.test.beton or OUT.probe.beton."""
    return path if split == "train" else path.with_suffix(f".{split}{SUFFIX}")


def sidecar_file(path: Path) -> Path:
    """Return the path of OUT.json, given the path of OUT.beton."""
    return path.with_suffix(".json")


def read_sidecar(path: Path) -> PackInfo:
    """Read the description of OUT.beton from OUT.json, and check the size of each packed file.

    Raises:
        DataError: when the path does not name a packed file, a file is missing, damaged or has the
            wrong size, or OUT.json has a different format version.
    """
    if path.suffix != SUFFIX:
        raise DataError(f"[data] path = {path}: not a {SUFFIX} file; write one with {PACK}")
    if not path.is_file():
        raise DataError(f"[data] path = {path}: no such file; write it with {PACK}")
    sidecar = sidecar_file(path)
    if not sidecar.is_file():
        raise DataError(
            f"[data] path = {path}: {sidecar.name} is missing in the same folder; copy it there, "
            f"or write both files again with {PACK}"
        )
    info = _parse(sidecar)
    for name, split in info.splits.items():
        _check_size(split_file(path, name), split.bytes)
    return info


def _parse(sidecar: Path) -> PackInfo:
    """Read and validate the content of OUT.json.

    Raises:
        DataError: when the file cannot be read, is damaged or has a different format version.
    """
    damaged = f"[data] {sidecar}: is damaged, or was not written by {PACK}"
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"[data] {sidecar}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise DataError(f"{damaged} (it is not valid JSON); pack the images again") from None
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version != VERSION:
        raise DataError(
            f"[data] {sidecar}: has version {version}, but this ssl-plugin-ffcv reads version "
            f"{VERSION}; pack the images again, or install the release that wrote them"
        )
    try:
        info = PackInfo.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise DataError(f"{damaged} ({key}: {first['msg']}); pack the images again") from None
    if not len(info.mean) == len(info.std) == info.channels:
        raise DataError(
            f"{damaged} ({info.channels} channels have {len(info.mean)} means and "
            f"{len(info.std)} standard deviations); pack the images again"
        )
    for name, split in info.splits.items():
        indices = {missing.index for missing in split.skipped}
        if len(indices) < len(split.skipped) or not indices <= set(range(split.total)):
            raise DataError(
                f"{damaged} (the skipped {name} images have invalid indices); pack the images again"
            )
    if "train" not in info.splits:
        raise DataError(f"{damaged} (it lists no training images); pack the images again")
    return info


def _check_size(file: Path, expected: int) -> None:
    """Raise DataError if a packed file is missing or does not have the expected size in bytes."""
    if not file.is_file():
        raise DataError(
            f"[data] {file}: no such file; copy the file to this path, or pack the images again"
        )
    size = file.stat().st_size
    if size != expected:
        state = "is incomplete" if size < expected else "is a different file"
        raise DataError(
            f"[data] {file}: {state} (it has {size} bytes, but {expected} were packed); "
            "copy it again, or pack the images again"
        )

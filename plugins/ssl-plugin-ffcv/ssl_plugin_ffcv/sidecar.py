"""OUT.json beside OUT.beton: what an ffcv file does not say about its images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ssl_host import DataError, MissingImage

SUFFIX = ".beton"
VERSION = 2
PACK = "`ssl-host data pack`"

SplitName = Literal["train", "test", "probe"]
SPLITS: tuple[SplitName, ...] = ("train", "test", "probe")


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(_Closed):
    """One split.

    Attributes:
        bytes: length of its file; another length is another or a torn file.
        labelled: whether the labels in the file are any.
        classes: names in the order of the labels.
        names: what the source called each image, in the file's order.
        skipped: each image that could not be read, with its place in the source and its label.
    """

    bytes: int = Field(ge=1)
    labelled: bool
    classes: tuple[str, ...]
    names: tuple[str, ...] = Field(min_length=1)
    skipped: tuple[MissingImage, ...]

    @property
    def total(self) -> int:
        """Images of the source."""
        return len(self.names) + len(self.skipped)


class About(_Closed):
    """All splits of one data set.

    Attributes:
        side: of every image in the files, in pixels.
        channels: 1 or 3; the files themselves keep 3 always.
        image_size: side of a view in pixels, where the configuration says no other.
        mean, std: of each channel, on images from 0 to 1.
        quality: of the JPEGs, from 1 to 100; None where every pixel is kept.
        source: the data source they came from.
        recipe: what that source would set in other sections of a configuration.
        ffcv, plugin: versions that wrote them.
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
    splits: dict[SplitName, Part]


def file_of(path: Path, split: SplitName) -> Path:
    """The file of a split: OUT.beton, OUT.test.beton, OUT.probe.beton."""
    return path if split == "train" else path.with_suffix(f".{split}{SUFFIX}")


def sidecar_of(path: Path) -> Path:
    """OUT.json of OUT.beton."""
    return path.with_suffix(".json")


def read_about(path: Path) -> About:
    """What is packed in OUT.beton and the files beside it.

    Raises:
        DataError: when a file is missing, damaged, of another version, or no packed file at all.
    """
    if path.suffix != SUFFIX:
        raise DataError(
            f"[data] path = {path}: is not the name of a {SUFFIX} file; {PACK} makes one"
        )
    if not path.is_file():
        raise DataError(f"[data] path = {path}: no such file; {PACK} makes it")
    listing = sidecar_of(path)
    if not listing.is_file():
        raise DataError(
            f"[data] path = {path}: {listing.name} is not beside it, which says what is inside; "
            f"copy it there, or make both anew by {PACK}"
        )
    about = _parse(listing)
    for split, part in about.splits.items():
        _check_length(file_of(path, split), part.bytes)
    return about


def _parse(listing: Path) -> About:
    damaged = f"[data] {listing}: is damaged, or was not written by {PACK}"
    try:
        found = json.loads(listing.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"[data] {listing}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise DataError(f"{damaged}: it is no JSON; pack the images anew") from None
    version = found.get("version") if isinstance(found, dict) else None
    if isinstance(version, int) and version != VERSION:
        raise DataError(
            f"[data] {listing}: is of version {version}, and this ssl-plugin-ffcv reads "
            f"{VERSION}; pack the images anew, or install the release that wrote them"
        )
    try:
        about = About.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise DataError(f"{damaged}: {place}: {first['msg']}; pack the images anew") from None
    if not len(about.mean) == len(about.std) == about.channels:
        raise DataError(
            f"{damaged}: {about.channels} channels have {len(about.mean)} means and "
            f"{len(about.std)} deviations; pack the images anew"
        )
    for split, part in about.splits.items():
        places = {missing.index for missing in part.skipped}
        if len(places) < len(part.skipped) or not places <= set(range(part.total)):
            raise DataError(
                f"{damaged}: the {split} images that were left out have no places; pack the "
                "images anew"
            )
    if "train" not in about.splits:
        raise DataError(f"{damaged}: it lists no training images; pack the images anew")
    return about


def _check_length(file: Path, expected: int) -> None:
    if not file.is_file():
        raise DataError(f"[data] {file}: no such file; copy it there, or pack the images anew")
    found = file.stat().st_size
    if found != expected:
        state = "is cut off" if found < expected else "is another file"
        raise DataError(
            f"[data] {file}: {state}: it has {found} bytes, and {expected} were packed; "
            "copy it again, or pack the images anew"
        )

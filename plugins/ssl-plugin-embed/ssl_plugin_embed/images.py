"""Open folders, files and data sources as one list of images in a fixed order."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ssl_host
from ssl_host import (
    Backbone,
    Catalog,
    DataError,
    DataSource,
    FileImages,
    ImageDataset,
    RecordSource,
    attribute_errors,
    component_options,
    content_digest,
    find_source,
)

TRAIN = "train"
_SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")
_FROM_BACKBONE = {
    "num_channels": "in_channels",
    "image_size": "image_size",
    "fit": "fit",
    "value_range": "value_range",
}
"""Settings of data sources that a backbone determines, with the name of its attribute."""


class Row(NamedTuple):
    """Description of one image: the columns that are written next to its features.

    The label is the index of the class; it is -1, and the class is empty, without a label.
    """

    path: str
    split: str
    label: int
    class_name: str


@dataclass(frozen=True)
class Part:
    """Images of one split of one input."""

    images: ImageDataset
    split: str


@dataclass
class ImageCollection:
    """All images to embed: the parts, one after the other.

    Attributes:
        parts: the splits of all inputs, in order.
        num_inputs: number of inputs, each of which has one or two parts.
        notes: remarks of the data sources.
        classes: names of all classes; those of the first part come first, in its order.
    """

    parts: list[Part]
    num_inputs: int = 1
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = (name for part in self.parts for name in part.images.classes)
        self.classes = tuple(dict.fromkeys(names))

    def __len__(self) -> int:
        return sum(len(part.images) for part in self.parts)

    def rows(self) -> Iterator[Row]:
        """Yield the description of each image, in order."""
        number = {name: k for k, name in enumerate(self.classes)}
        for part in self.parts:
            images = part.images
            names = images.classes
            labels = [-1] * len(images) if images.labels is None else images.labels.tolist()
            for i, label in enumerate(labels):
                name = names[label] if label >= 0 else ""
                yield Row(image_path(images, i), part.split, number.get(name, -1), name)

    def digest(self) -> str:
        """Return a hash of the images: their paths, splits, labels, sizes and partly their content.

        Raises:
            DataError: when an image is in two inputs.
        """
        if self.num_inputs > 1:
            self._require_distinct_images()
        digest = hashlib.sha256()
        for row in self.rows():
            digest.update("\0".join(map(str, row)).encode() + b"\n")
        digest.update(content_digest([part.images for part in self.parts]).encode())
        return digest.hexdigest()

    def _require_distinct_images(self) -> None:
        """Raise DataError if an image in a file is in two inputs."""
        seen: set[str] = set()
        for part in self.parts:
            for i in range(len(part.images)):
                if part.images.path(i) is None:
                    continue
                path = os.path.abspath(image_path(part.images, i))  # noqa: PTH100 - Path is slow
                if path in seen:
                    raise DataError(f"{path} is in two of the inputs; name each image once")
                seen.add(path)


def image_path(images: ImageDataset, i: int) -> str:
    """Return the path of an image, such as ``cats/1.jpg`` or ``shards/0.tar:00017.jpg``.

    Without a file it is the name of the image. Bytes that are not UTF-8 are escaped.
    """
    path, name = images.path(i), images.name(i)
    if path is not None and isinstance(images, FileImages):
        name = str(path)
    elif path is not None:
        _, file, rest = name.partition(Path(path).name)
        name = f"{path}{rest}" if file else f"{path}:{name}"
    return name.encode("utf-8", "backslashreplace").decode()


def open_images(
    paths: Sequence[Path],
    backbone: Backbone,
    catalog: Catalog,
    data: str | None = None,
    options: Sequence[str] = (),
) -> ImageCollection:
    """Open all splits of all inputs.

    Args:
        paths: folders, files and patterns that a data source reads, and image files; may be empty
            if ``data`` is given.
        backbone: the network; ``fit``, ``value_range`` and the number of channels are its own.
        catalog: registry of the installed plugins.
        data: name of the data source; None to find it by the path.
        options: settings of the data source, each as ``key=value``.

    Raises:
        DataError: when an input cannot be read.
        ConfigError: when an option is invalid.
    """
    if not paths and data is None:
        raise DataError("no images: name a folder or a file, or a data source with `--data NAME`")
    parts: list[Part] = []
    notes: list[str] = []
    count = 0
    is_file = _is_image_file if data is None else lambda _: False
    for are_files, group in itertools.groupby(paths, is_file):
        if are_files:
            files = FileImages(list(group), channels=backbone.in_channels)
            files.fit, files.value_range = backbone.fit, backbone.value_range
            parts.append(Part(files, TRAIN))
            count += 2  # the same file may be named twice
            continue
        for path in group:
            source = _open_source(path, backbone, catalog, data, options)
            parts += _parts(source)
            notes += source.notes
            count += 1
    if not paths:
        source = _open_source(None, backbone, catalog, data, options)
        parts, notes = _parts(source), list(source.notes)
    return ImageCollection(parts, count, list(dict.fromkeys(notes)))


def _is_image_file(path: Path) -> bool:
    return path.suffix.lower() in FileImages.suffixes and path.is_file()


def _open_source(
    path: Path | None,
    backbone: Backbone,
    catalog: Catalog,
    data: str | None,
    options: Sequence[str],
) -> DataSource:
    """Return the data source that reads a path, or the one called ``data``."""
    found: Mapping[str, Any] | None = {}
    if data is None:
        assert path is not None
        data, found = find_source(path, catalog)
    elif path is not None:
        found = catalog.load("data", data).settings_for_path(path)
        if found is None:
            raise DataError(
                f"{path}: the data source {data} does not read it; name no images and set "
                "`-o data.KEY=VALUE` instead, as `ssl-host component show data "
                f"{data}` describes"
            )
    schema = catalog.load("data", data).Config
    own = {k: getattr(backbone, v) for k, v in _FROM_BACKBONE.items() if k in schema.model_fields}
    settings = {**own, **(found or {}), **component_options("data", schema, options)}
    source: DataSource = ssl_host.build("data", data, **settings)
    return source


def _parts(source: DataSource) -> list[Part]:
    """Return the splits of a data source; none of its images are held out."""
    parts = []
    for split in _SPLITS:
        with attribute_errors(source, f"while opening the split '{split}'"):
            images = source.open(split)
            if images is None and split == "test" and isinstance(source, RecordSource):
                # Unlabelled held-out images are useless for evaluation, but not here.
                records = source.records(held_out=True)
                images = None if records is None else records.images
                if images is not None:
                    images.fit, images.value_range = source.config.fit, source.config.value_range
        if images is not None:
            parts.append(Part(images, split))
    return parts

"""Tar shards: where every image is in them, and reading one."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_host import DataError, EncodedImages, FileImages, UnreadableImage

_BLOCK = tarfile.BLOCKSIZE
_IMAGES = {suffix[1:] for suffix in FileImages.suffixes}
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}


class Sample(NamedTuple):
    """An image within a shard.

    Attributes:
        key: its name up to the first dot of the last part.
        start: of its bytes in the shard.
        size: in bytes.
        label: or None.
    """

    key: str
    start: int
    size: int
    label: str | None


class ShardImages(EncodedImages):
    """Images out of shards, each read at its own place.

    Args:
        samples: each with its shard.
        channels: 3 or 1.
        root: folder that shards are named from in messages.
    """

    def __init__(self, samples: Sequence[tuple[Path, Sample]], channels: int, root: Path) -> None:
        self.channels = channels
        self.root = root
        self.keys = [sample.key for _, sample in samples]
        self.shards = list(dict.fromkeys(shard for shard, _ in samples))
        numbers = {shard: i for i, shard in enumerate(self.shards)}
        self._places = np.array([(numbers[p], s.start, s.size) for p, s in samples], np.int64)

    def __len__(self) -> int:
        return len(self.keys)

    def path(self, i: int) -> Path:
        return self.shards[int(self._places[i, 0])]

    def name(self, i: int) -> str:
        shard = self.path(i)
        within = shard.relative_to(self.root) if shard.is_relative_to(self.root) else shard
        return f"{within}:{self.keys[i]}"

    def encoded(self, i: int) -> bytes:
        _, start, size = self._places[i].tolist()
        # Opened for every image: that costs nothing beside decoding, and there is no handle that
        # threads or forked workers could share.
        with self.path(i).open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise UnreadableImage("the shard has been cut off")
        return content


def read_shard(path: Path) -> list[Sample]:
    """The samples of a shard that have an image, in its order.

    Raises:
        DataError: when it is no tar file, is compressed, or is cut off.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            samples = _samples(path, archive)
            _check_end(path, archive)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        with path.open("rb") as file:
            kind = _COMPRESSED.get(file.read(2))
        if kind is not None:
            raise DataError(
                f"[data] {path}: is compressed ({kind}), and images are read at their own places; "
                "unpack it to a plain .tar"
            ) from None
        raise DataError(
            f"[data] {path}: is damaged or no tar file ({error}); copy or write it again"
        ) from None
    return samples


def _samples(path: Path, archive: tarfile.TarFile) -> list[Sample]:
    found: list[Sample] = []
    key, parts = "", dict[str, tarfile.TarInfo]()
    for member in archive:
        if not member.isreg():
            continue
        stem, ending = _split(member.name)
        if stem != key or ending in parts:
            found += _sample(path, archive, key, parts)
            key, parts = stem, {}
        parts[ending] = member
    return found + _sample(path, archive, key, parts)


def _split(name: str) -> tuple[str, str]:
    """``a/b.c.jpg`` as ``a/b`` and ``c.jpg``: WebDataset's keys end at the first dot."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return folder + slash + stem, ending.lower()


def _sample(
    path: Path, archive: tarfile.TarFile, key: str, parts: dict[str, tarfile.TarInfo]
) -> list[Sample]:
    """One sample, or none where nothing in it is an image."""
    image = next((member for ending, member in parts.items() if ending in _IMAGES), None)
    if image is None:
        return []
    label = None
    if "cls" in parts:
        label = _content(archive, parts["cls"]).decode("utf-8", "replace").strip() or None
    elif "json" in parts:
        label = _label_of_json(path, key, _content(archive, parts["json"]))
    return [Sample(key, image.offset_data, image.size, label)]


def _label_of_json(path: Path, key: str, content: bytes) -> str | None:
    try:
        about = json.loads(content)
    except ValueError as error:
        raise DataError(f"[data] {path}:{key}.json: is no JSON: {error}") from None
    label = about.get("label") if isinstance(about, dict) else None
    if label is not None and not isinstance(label, str | int):
        raise DataError(
            f"[data] {path}:{key}.json: label is {json.dumps(label)[:40]}, no text and no number"
        )
    return None if label is None else str(label)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _check_end(path: Path, archive: tarfile.TarFile) -> None:
    """tarfile takes any block that is no header for the end; only an empty one is."""
    with path.open("rb") as file:
        file.seek(archive.offset)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise EOFError(f"it breaks off after {archive.offset:,} bytes")

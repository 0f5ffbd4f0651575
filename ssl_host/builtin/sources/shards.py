"""Lists the images in tar shards and reads single images by their offsets."""

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
    """Record of an image in a shard, with its label.

    Attributes:
        key: path of the image in the shard, up to the first dot of the file name.
        start: offset of the image in the shard, in bytes.
        size: size of the image file, in bytes.
        label: the label as text, or None.
    """

    key: str
    start: int
    size: int
    label: str | None


class ShardImages(EncodedImages):
    """Images in tar shards; each image is read at its offset in the shard.

    Args:
        samples: pairs of a shard's path and a sample in it.
        channels: number of channels, 3 or 1.
        root: folder that shard names in error messages are relative to.
    """

    def __init__(self, samples: Sequence[tuple[Path, Sample]], channels: int, root: Path) -> None:
        self.channels = channels
        self.root = root
        self.keys = [sample.key for _, sample in samples]
        self.shards = list(dict.fromkeys(shard for shard, _ in samples))
        numbers = {shard: i for i, shard in enumerate(self.shards)}
        self._offsets = np.array([(numbers[p], s.start, s.size) for p, s in samples], np.int64)

    def __len__(self) -> int:
        return len(self.keys)

    def path(self, i: int) -> Path:
        return self.shards[int(self._offsets[i, 0])]

    def name(self, i: int) -> str:
        shard = self.path(i)
        within = shard.relative_to(self.root) if shard.is_relative_to(self.root) else shard
        return f"{within}:{self.keys[i]}"

    def encoded(self, i: int) -> bytes:
        _, start, size = self._offsets[i].tolist()
        # Open the shard for each image: this is cheap compared to decoding, and threads and forked
        # workers do not share a file handle.
        with self.path(i).open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise UnreadableImage("the shard has been cut off")
        return content


def read_shard(path: Path) -> list[Sample]:
    """Return the samples of a shard that contain an image, in the order of the shard.

    Raises:
        DataError: if the shard is not a tar file, is compressed or is cut off, or if a label is
            invalid.
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
                f"[data] {path}: is compressed ({kind}), but single images must be readable; "
                "decompress it to a plain .tar"
            ) from None
        raise DataError(
            f"[data] {path}: is damaged or not a tar file ({error}); copy or write it again"
        ) from None
    return samples


def _samples(path: Path, archive: tarfile.TarFile) -> list[Sample]:
    """Return the samples of an open shard: consecutive members with the same key."""
    samples: list[Sample] = []
    key, members = "", dict[str, tarfile.TarInfo]()
    for member in archive:
        if not member.isreg():
            continue
        member_key, extension = _split(member.name)
        if member_key != key or extension in members:
            samples += _sample(path, archive, key, members)
            key, members = member_key, {}
        members[extension] = member
    return samples + _sample(path, archive, key, members)


def _split(name: str) -> tuple[str, str]:
    """Split ``a/b.c.jpg`` into ``a/b`` and ``c.jpg``: WebDataset's keys end at the first dot."""
    folder, slash, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return folder + slash + stem, extension.lower()


def _sample(
    path: Path, archive: tarfile.TarFile, key: str, members: dict[str, tarfile.TarInfo]
) -> list[Sample]:
    """Return a list with the sample that these members form; empty if none is an image."""
    image = next((member for name, member in members.items() if name in _IMAGES), None)
    if image is None:
        return []
    label = None
    if "cls" in members:
        label = _content(archive, members["cls"]).decode("utf-8", "replace").strip() or None
    elif "json" in members:
        label = _label_of_json(path, key, _content(archive, members["json"]))
    return [Sample(key, image.offset_data, image.size, label)]


def _label_of_json(path: Path, key: str, content: bytes) -> str | None:
    """Return the entry ``label`` of a sample's JSON file as text, or None if it has none."""
    try:
        value = json.loads(content)
    except ValueError as error:
        raise DataError(f"[data] {path}:{key}.json: is not JSON: {error}") from None
    label = value.get("label") if isinstance(value, dict) else None
    if label is not None and not isinstance(label, str | int):
        raise DataError(
            f"[data] {path}:{key}.json: expected text or a number as label, not "
            f"{json.dumps(label)[:40]}"
        )
    return None if label is None else str(label)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the content of a member as bytes."""
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _check_end(path: Path, archive: tarfile.TarFile) -> None:
    """Raise EOFError if the shard is cut off, because tarfile does not always detect this."""
    with path.open("rb") as file:
        file.seek(archive.offset)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise EOFError(f"it ends early, after {archive.offset:,} bytes")

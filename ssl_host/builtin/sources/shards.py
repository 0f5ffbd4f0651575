"""List the images in tar shards and read single images by their offsets."""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_host import DataError, EncodedImages, FileImages, UnreadableImage

_BLOCK = tarfile.BLOCKSIZE
IMAGE_SUFFIXES = {suffix[1:] for suffix in FileImages.suffixes}
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}


class Sample(NamedTuple):
    """Files of one sample in a shard: its images and its label.

    Attributes:
        shard: path of the shard.
        key: path of the files in the shard, up to the first dot of the file name.
        images: offset and size of each image file in bytes, keyed by suffix.
        label: the label as text or a number, or None.
    """

    shard: Path
    key: str
    images: dict[str, tuple[int, int]]
    label: str | float | None

    @property
    def name(self) -> str:
        """Name of the shard and key of the sample, for messages."""
        return f"{self.shard.name}:{self.key}"


class ShardImages(EncodedImages):
    """Images in tar shards; each image is read at its offset in the shard.

    Args:
        samples: pairs of a sample and the suffix of its image.
        channels: number of channels, 3 or 1.
        root: folder that shard names in error messages are relative to.
    """

    def __init__(self, samples: Sequence[tuple[Sample, str]], channels: int, root: Path) -> None:
        self.channels = channels
        self.root = root
        self.keys = [sample.key for sample, _ in samples]
        self.shards = list(dict.fromkeys(sample.shard for sample, _ in samples))
        numbers = {shard: i for i, shard in enumerate(self.shards)}
        rows = [(numbers[sample.shard], *sample.images[suffix]) for sample, suffix in samples]
        self._offsets = np.array(rows, np.int64)

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


def read_shard(path: Path, suffixes: Counter[str], with_labels: bool) -> list[Sample]:
    """Return the samples in a shard that have an image or a label, in the order of the shard.

    Args:
        path: path of the shard.
        suffixes: counts of the suffixes seen so far, to which those of this shard are added.
        with_labels: False to ignore labels.

    Raises:
        DataError: if the shard is not a tar file, is compressed or is cut off, or if a label is
            invalid.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            samples = list(_samples(path, archive, suffixes, with_labels))
            _check_not_truncated(path, archive)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        with path.open("rb") as file:
            kind = _COMPRESSED.get(file.read(2))
        if kind is not None:
            raise DataError(
                f"[data] {path}: is compressed ({kind}), but images must be readable one by one; "
                "decompress it to a plain .tar"
            ) from None
        raise DataError(
            f"[data] {path}: is damaged or not a tar file ({error}); copy or write it again"
        ) from None
    return samples


def _samples(
    path: Path, archive: tarfile.TarFile, suffixes: Counter[str], with_labels: bool
) -> Iterator[Sample]:
    """Yield the samples of an open shard: consecutive members with the same key."""
    key, members = "", dict[str, tarfile.TarInfo]()
    for member in archive:
        if not member.isreg():
            continue
        member_key, suffix = _split_member_name(member.name)
        if member_key != key or suffix in members:
            yield from _sample(path, archive, key, members, with_labels)
            key, members = member_key, {}
        members[suffix] = member
        suffixes[suffix] += 1
    yield from _sample(path, archive, key, members, with_labels)


def _split_member_name(name: str) -> tuple[str, str]:
    """Return ``a/b`` and ``c.jpg`` for ``a/b.c.jpg``: WebDataset's keys end at the first dot.

    ``./a`` and ``a`` are the same name; ``tar`` writes either, depending on its arguments.
    """
    name = posixpath.normpath(name) if name.startswith("./") else name
    folder, slash, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return folder + slash + stem, suffix.lower()


def is_image(suffix: str) -> bool:
    """Return True for the suffix of an image, such as ``jpg`` or ``left.png``."""
    return suffix.rpartition(".")[2] in IMAGE_SUFFIXES


def _sample(
    path: Path,
    archive: tarfile.TarFile,
    key: str,
    members: dict[str, tarfile.TarInfo],
    with_labels: bool,
) -> Iterator[Sample]:
    """Yield the sample that consists of the given members, if it has an image or a label."""
    images = {s: (m.offset_data, m.size) for s, m in members.items() if is_image(s)}
    label: str | float | None = None
    if with_labels and "cls" in members:
        label = _read_member(archive, members["cls"]).decode("utf-8", "replace").strip() or None
    if label is None and with_labels and "json" in members:
        label = _json_label(path, key, _read_member(archive, members["json"]))
    if images or label is not None:
        yield Sample(path, key, images, label)


def _json_label(path: Path, key: str, content: bytes) -> str | float | None:
    """Return the value of the key ``label`` in a sample's JSON file, or None.

    Raises:
        DataError: if the file is not JSON, or the value is neither text nor a number.
    """
    try:
        value = json.loads(content)
    except ValueError as error:
        raise DataError(
            f"[data] {path}:{key}.json: is not JSON ({error}); correct it, or set [data] "
            "labelled = false to train without labels"
        ) from None
    label = value.get("label") if isinstance(value, dict) else None
    if label is not None and not isinstance(label, str | int | float):
        raise DataError(
            f"[data] {path}:{key}.json: expected text or a number as label, not "
            f"{json.dumps(label)[:40]}; set [data] labelled = false to train without labels"
        )
    return label


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the content of a tar member as bytes."""
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _check_not_truncated(path: Path, archive: tarfile.TarFile) -> None:
    """Raise EOFError if the shard is cut off, because tarfile does not always detect this."""
    with path.open("rb") as file:
        file.seek(archive.offset)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise EOFError(f"it ends early, after {archive.offset:,} bytes")

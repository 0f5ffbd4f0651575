"""Data source ``webdataset``: images in the tar shards of WebDataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ssl_host import DataError, Records, RecordSource, find_files, has_files
from ssl_host.builtin.sources.shard_labels import join_labels, list_suffixes, select_images
from ssl_host.builtin.sources.shards import Sample, ShardImages, is_image, read_shard


class WebDataset(RecordSource):
    """Images in WebDataset's tar shards, https://github.com/webdataset/webdataset.

    A sample consists of files with the same name up to the first dot: an image such as
    ``0001.jpg`` and, for its label, either ``0001.cls``, which contains the class as text, or
    ``0001.json``, which contains the key ``label``. If samples have several images, such as
    ``0001.left.png`` and ``0001.right.png``, ``image_key`` selects one: ``left.png``. Labels may
    also be elsewhere in the shards, or in other shards of the folder.
    Shards are called ``train-000.tar`` and ``val-000.tar`` or ``test-000.tar``, or are in folders
    called ``train`` and ``val`` or ``test``. If no name contains a split, all shards are training
    shards, and the host holds out some images.

    The offsets of all images are read once at the start, so shuffling, resuming and seeds work in
    the same way as for other sources. Shards must not be compressed.
    """

    class Config(RecordSource.Config):
        root: Path = Field(
            description="folder of the shards, or a pattern such as train-{000..003}.tar"
        )
        test: Path | None = Field(
            None,
            description="folder or pattern of the held-out shards; default: the val or test shards",
        )
        image_key: str | None = Field(
            None,
            min_length=1,
            description="suffix of the images after the first dot, such as left.png; default: the "
            "only image of each sample",
        )

    @classmethod
    def settings_for_path(cls, path: Path) -> Mapping[str, Any] | None:
        return {"root": path} if has_files(path, (".tar",)) else None

    def setup(self) -> None:
        super().setup()
        self._joined: dict[bool, set[tuple[Path, str]]] = {}
        """Shard and key of each label that is not next to its image, keyed by split."""

    def records(self, held_out: bool) -> Records | None:
        path = Path(self.config.test if held_out and self.config.test else self.config.root)
        shards, others, held_out_shards = self._shards(path, held_out)
        if not shards:
            return None
        suffixes: Counter[str] = Counter()
        samples = self._read(shards, suffixes)
        found = select_images(path, samples, self.config.image_key, suffixes)
        images = [sample for sample, _ in found]
        loose = [sample for sample in samples if not sample.images]
        elsewhere = [] if self.config.labelled is False else self._read(others, Counter())
        elsewhere = [sample for sample in elsewhere if not sample.images]
        labels, unmatched = join_labels(path, images, [*loose, *elsewhere])
        self._require_one_split(path, held_out, [*loose, *elsewhere], unmatched)
        folder = path if path.is_dir() else path.parent
        if held_out_shards:  # labels in other shards may belong to either split
            unmatched = [sample for sample in unmatched if sample.shard in set(shards)]
        notes = _notes(path, labels, unmatched, suffixes)
        if not held_out and not path.is_dir():
            notes += self.pattern_notes(path, shards)
        if self.config.labelled is not False and all(label is None for label in labels):
            notes += self._other_shards_notes(path, shards)
        if len(images) + len(loose) < len(samples):
            count = len(samples) - len(images) - len(loose)
            missing = "1 sample" if count == 1 else f"{count} samples"
            notes.append(
                f"{path}: left out {missing} without a matching image; the shards have "
                f"files with the suffixes {list_suffixes(suffixes)}"
            )
        return Records(
            ShardImages(found, self.channels, folder),
            labels,
            location=str(path),
            notes=notes,
            label_name="cls",
        )

    def _require_one_split(
        self,
        path: Path,
        held_out: bool,
        labels: Sequence[Sample],
        unmatched: Sequence[Sample],
    ) -> None:
        """Raise DataError if a label belongs to images of both splits.

        Args:
            path: folder or pattern of the shards, for the error message.
            held_out: True for the held-out images.
            labels: the labels that are not next to an image, including those in other shards.
            unmatched: the labels that match no image of this split.
        """
        unused = {id(sample) for sample in unmatched}
        self._joined[held_out] = {(s.shard, s.key) for s in labels if id(s) not in unused}
        both = self._joined.get(False, set()) & self._joined.get(True, set())
        if both:
            shard, key = min(both)
            raise DataError(
                f"[data] {path}: the label {shard.name}:{key} may belong to a training image or "
                "to a held-out image with this name; give the shards of the labels names such as "
                "train-labels.tar and val-labels.tar, or give the images different names"
            )

    def _other_shards_notes(self, path: Path, shards: Sequence[Path]) -> list[str]:
        """Return a note about shards that may contain labels but do not match the pattern.

        The note is in a list, which is empty if there are no such shards.
        """
        if path.is_dir():
            return []
        folder = shards[0].parent
        _, held_out = self.split_files(folder.glob("*.tar"), folder)
        others = sorted({*folder.glob("*.tar")} - {*shards, *held_out})
        if not others:
            return []
        names = ", ".join(shard.name for shard in others[:3])
        return [
            f"{path}: no labels; the pattern leaves out {names}; if they contain the labels, add "
            f"them to the pattern, or set [data] root to {folder}"
        ]

    def _read(self, shards: list[Path], suffixes: Counter[str]) -> list[Sample]:
        """Return the samples of several shards, and the number of files with each suffix."""
        samples: list[Sample] = []
        for shard in shards:
            samples += read_shard(shard, suffixes, self.config.labelled is not False)
            if self.progress is not None:
                self.progress(len(samples))
        return samples

    def _shards(self, path: Path, held_out: bool) -> tuple[list[Path], list[Path], list[Path]]:
        """Return the shards of this split, shards without a split, and the held-out shards.

        Raises:
            DataError: if there are no training shards.
        """
        if held_out and self.config.test:
            shards = find_files("test", path, (".tar",))
            return shards, [], shards
        shards = find_files("root", path, (".tar",))
        if not path.is_dir():
            return ([] if held_out else shards), [], []
        train, test = self.split_files(shards, path)
        if not train:
            raise DataError(
                f"[data] root = {path}: all shards, such as {test[0].name}, are held out; give the "
                "training shards names such as train-000.tar, or names without a split"
            )
        used = {*train, *test}
        others = [shard for shard in shards if shard not in used]
        return (test if held_out else train), others, test


def _notes(
    path: Path,
    labels: Sequence[object],
    unmatched: Sequence[Sample],
    suffixes: Counter[str],
) -> list[str]:
    """Return notes about labels without an image, and about files that may contain labels."""
    if unmatched:
        return [
            f"{path}: {len(unmatched)} labels do not belong to an image; the first is "
            f"{unmatched[0].name}, and no unlabelled image has this key"
        ]
    is_labelled = any(label is not None for label in labels)
    if not is_labelled and any(not is_image(suffix) for suffix in suffixes):
        return [
            f"{path}: no labels; they are read from .cls and from the key 'label' of .json, and "
            f"the shards have files with the suffixes {list_suffixes(suffixes)}"
        ]
    return []

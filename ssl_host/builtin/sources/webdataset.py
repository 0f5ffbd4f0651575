"""Data source ``webdataset``: images in the tar shards of WebDataset."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ssl_host import DataError, Records, RecordSource, find_files
from ssl_host.builtin.sources.shards import ShardImages, read_shard


class WebDataset(RecordSource):
    """Images in WebDataset's tar shards, https://github.com/webdataset/webdataset.

    A sample consists of files with the same name up to the first dot: an image such as
    ``0001.jpg`` and, for its label, either ``0001.cls``, which contains the class as text, or
    ``0001.json``, which contains the key ``label``.
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

    def records(self, held_out: bool) -> Records | None:
        path = Path(self.config.test if held_out and self.config.test else self.config.root)
        shards = self._shards(path, held_out)
        if not shards:
            return None
        samples = [(shard, sample) for shard in shards for sample in read_shard(shard)]
        if not samples:
            raise DataError(f"[data] {path}: no image in {shards[0].name} or the shards after it")
        images = ShardImages(samples, self.channels, path if path.is_dir() else path.parent)
        return Records(images, [sample.label for _, sample in samples], location=str(path))

    def _shards(self, path: Path, held_out: bool) -> list[Path]:
        """Return the paths of the training shards or of the held-out shards."""
        if held_out and self.config.test:
            return find_files("test", path, (".tar",))
        shards = find_files("root", path, (".tar",))
        if not path.is_dir():
            return [] if held_out else shards
        train, test = self.split_files(shards, path)
        if not train:
            raise DataError(
                f"[data] root = {path}: all shards, such as {test[0].name}, are held out; give the "
                "training shards names such as train-000.tar, or names without a split"
            )
        return test if held_out else train

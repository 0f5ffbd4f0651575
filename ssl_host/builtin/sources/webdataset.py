"""``[data] name = webdataset``: which shards there are."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ssl_host import DataError, Records, RecordSource, find_files
from ssl_host.builtin.sources.shards import ShardImages, read_shard


class WebDataset(RecordSource):
    """WebDataset's tar shards, https://github.com/webdataset/webdataset, in any order.

    A sample is the files of one name up to the first dot: ``0001.jpg`` (or png, webp and other
    formats), ``0001.cls`` with the class in text, or ``0001.json`` with its ``label``. Shards are
    ``train-000.tar`` and ``val-000.tar`` or ``test-000.tar`` (or in folders of these names); under
    any other names all are to train on, and the host cuts a held-out part.

    The places of all images in the shards are read once, at the beginning: order, resuming and
    seeds are those of every other source. Shards must not be compressed.
    """

    class Config(RecordSource.Config):
        root: Path = Field(
            description="the folder of the shards, or a pattern such as train-{000..003}.tar"
        )
        test: Path | None = Field(
            None, description="shards to hold out, a folder or a pattern; default: by their names"
        )

    def records(self, held_out: bool) -> Records | None:
        place = Path(self.config.test if held_out and self.config.test else self.config.root)
        shards = self._shards(place, held_out)
        if not shards:
            return None
        samples = [(shard, sample) for shard in shards for sample in read_shard(shard)]
        if not samples:
            raise DataError(
                f"[data] {place}: no sample in {shards[0].name} or after it has an image"
            )
        images = ShardImages(samples, self.channels, place if place.is_dir() else place.parent)
        return Records(images, [sample.label for _, sample in samples], location=str(place))

    def _shards(self, place: Path, held_out: bool) -> list[Path]:
        if held_out and self.config.test:
            return find_files("test", place, (".tar",))
        shards = find_files("root", place, (".tar",))
        if not place.is_dir():
            return [] if held_out else shards
        train, test = self.split_files(shards, place)
        if not train:
            raise DataError(
                f"[data] root = {place}: all shards are held out, such as {test[0].name}; those "
                "to train on are called train-000.tar, or a name that says no split"
            )
        return test if held_out else train

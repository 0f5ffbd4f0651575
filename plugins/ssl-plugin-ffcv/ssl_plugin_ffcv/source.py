"""``[data] name = ffcv``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ssl_host import DataSource, ImageDataset, Settings, available_cores
from ssl_plugin_ffcv.images import PackedImages
from ssl_plugin_ffcv.library import library
from ssl_plugin_ffcv.sidecar import SPLITS, file_of, read_about


class FFCV(DataSource):
    """Images packed by `ssl-host data pack`: JPEG in one file, decoded in threads.

    Leclerc et al., FFCV: Accelerating training by removing data bottlenecks, arXiv:2306.12517.
    For more images than memory holds: they stay compressed on the disk, every image is decoded
    once a step for all its views, and nothing is compiled at run time.
    """

    class Config(Settings):
        path: Path = Field(description="the packed file, OUT.beton; OUT.json lies beside it")
        image_size: int | None = Field(
            None,
            ge=4,
            le=2048,
            description="side of a view in pixels; default: what was packed for; a larger one "
            "than the packed images have is enlarged",
        )
        num_threads: int | None = Field(
            None, ge=1, le=1024, description="threads that decode; default: one a core"
        )

    def setup(self) -> None:
        library()
        self.about = read_about(self.config.path)
        self.channels = self.about.channels
        self.mean = self.about.mean
        self.std = self.about.std

    @property
    def image_size(self) -> int:
        return int(self.config.image_size or self.about.image_size)

    def open(self, split: str) -> ImageDataset | None:
        name = next((s for s in SPLITS if s == split and s in self.about.splits), None)
        if name is None:
            return self.open("train") if split == "probe" else None
        threads = self.config.num_threads or available_cores()
        about = self.about
        return PackedImages(
            file_of(self.config.path, name),
            about.splits[name],
            about.channels,
            about.side,
            threads,
        )

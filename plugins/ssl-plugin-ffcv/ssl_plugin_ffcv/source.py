"""The data source ``[data] name = ffcv``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from ssl_host import DataSource, ImageDataset, Settings, available_cores
from ssl_plugin_ffcv.images import PackedImages
from ssl_plugin_ffcv.library import library
from ssl_plugin_ffcv.sidecar import SPLITS, SUFFIX, read_sidecar, split_file


class FFCV(DataSource):
    """Images that `ssl-host data pack` packed, one file per split; threads decode them.

    Leclerc et al., FFCV: Accelerating training by removing data bottlenecks, arXiv:2306.12517.
    Use it for data sets that do not fit into memory. Images stay compressed on disk, and each image
    is decoded once per step for all its views. Nothing is compiled at run time.
    """

    class Config(Settings):
        path: Path = Field(
            description="path of the packed file OUT.beton; OUT.json must be next to it"
        )
        image_size: int | None = Field(
            None,
            ge=4,
            le=2048,
            description="size of a view in pixels; default: the size chosen when packing; smaller "
            "packed images are enlarged",
        )
        num_threads: int | None = Field(
            None,
            ge=1,
            le=1024,
            description="number of threads that decode images; default: one per core",
        )

    config: Config

    @classmethod
    def settings_for_path(cls, path: Path) -> Mapping[str, Any] | None:
        return {"path": path} if path.is_file() and path.suffix == SUFFIX else None

    def setup(self) -> None:
        library()
        self.info = read_sidecar(self.config.path)
        self.channels = self.info.channels
        self.mean = self.info.mean
        self.std = self.info.std
        self.notes = (*self.info.notes, *self.info.warnings)

    @property
    def image_size(self) -> int:
        return self.config.image_size or self.info.image_size

    def open(self, split: str) -> ImageDataset | None:
        name = next((s for s in SPLITS if s == split and s in self.info.splits), None)
        if name is None:
            return self.open("train") if split == "probe" else None
        threads = self.config.num_threads or available_cores()
        info = self.info
        file = split_file(self.config.path, name)
        images = PackedImages(file, info.splits[name], info.channels, info.side, threads)
        images.fit, images.value_range = info.fit, info.value_range  # as they were packed
        return images

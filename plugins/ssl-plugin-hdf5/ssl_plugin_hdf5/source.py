"""``[data] name = hdf5``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pydantic import Field

from ssl_host import DataError, Records, RecordSource
from ssl_plugin_hdf5.images import Place, damage_told, dataset_of, open_datasets


class HDF5(RecordSource):
    """Images and labels in the datasets of an HDF5 file.

    * ``images``: uint8 of N H W C, N C H W (1, 3 or 4 channels) or N H W; or N rows of
      variable-length uint8 that hold encoded images, JPEG and the like;
    * ``labels``: N, whole numbers or text; without it there are none.

    Both may be in groups ``train`` and ``val`` or ``test``. What is held out is such a group, or
    ``test_images`` and ``test_labels``, or ``test_file``; else the host cuts a part. Images are
    read one by one, and the file is opened in every process anew.
    """

    class Config(RecordSource.Config):
        file: Path = Field(description="the HDF5 file")
        images: str = Field("images", min_length=1, description="dataset of the images")
        labels: str | None = Field(
            None, description="dataset of the labels; default: labels, where there is one"
        )
        test_file: Path | None = Field(None, description="another HDF5 file, to hold out")
        test_images: str | None = Field(
            None, description="dataset of the images to hold out, in test_file or file"
        )
        test_labels: str | None = Field(
            None, description="dataset of their labels; default: as labels"
        )

    def records(self, held_out: bool) -> Records | None:
        config = self.config
        apart = held_out and config.test_file is not None
        file = Path(config.test_file if apart else config.file)
        names = _datasets(file)
        images = config.images
        labels, named = config.labels or "labels", config.labels is not None
        if held_out:
            images = config.test_images or images
            labels, named = config.test_labels or labels, named or config.test_labels is not None
        group = self._group(names, images, held_out)
        if held_out and not apart and config.test_images is None and not group:
            return None
        written = file.stat().st_mtime_ns
        found = _find(file, names, group, images, "test_images" if held_out else "images")
        pictures = open_datasets(Place(file, found, written), self.channels, f"{file.name}:{found}")
        if len(pictures) == 0:
            raise DataError(f"[data] {file}:{found}: has no rows")
        values = None
        if named or group + labels in names:
            where = _find(file, names, group, labels, "test_labels" if held_out else "labels")
            values = _labels(Place(file, where, written), len(pictures))
        return Records(pictures, values, location=f"{file}:{found}")

    def _group(self, names: list[str], images: str, held_out: bool) -> str:
        """The group of a split, with a slash; empty where there is none that holds images."""
        words = {self.split_word(n.split("/")[0]): n.split("/")[0] + "/" for n in names}
        wanted = ("val", "test") if held_out else ("train",)
        groups = (words[word] for word in wanted if word in words)
        return next((group for group in groups if group + images in names), "")


def _datasets(file: Path) -> list[str]:
    """Names of all datasets of a file, with their groups."""
    if not file.is_file():
        raise DataError(f"[data] {file}: no such file")
    found: list[str] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(name)

    with damage_told(file), h5py.File(file, "r") as opened:
        opened.visititems(note)
    return found


def _find(file: Path, names: list[str], group: str, name: str, setting: str) -> str:
    """A dataset in the split's group, or else by its whole name."""
    for found in (group + name, name.strip("/")):
        if found in names:
            return found
    raise DataError(
        f"[data] {file}: no dataset is called {name}; set [data] {setting} to one of "
        f"{', '.join(sorted(names)[:10]) or 'those that there are: it is empty'}"
    )


def _labels(place: Place, count: int) -> list[Any]:
    """N labels, as Python's values."""
    with damage_told(place.file):
        found = dataset_of(place)
        kind, shape = found.dtype, found.shape
        text = h5py.check_string_dtype(kind) is not None
    if (shape[:1] if shape[1:] == (1,) else shape) != (count,):
        raise DataError(
            f"[data] {place}: is of shape {shape}, and there are {count} images; labels are one "
            "an image"
        )
    if not text and kind.kind not in "iub":
        raise DataError(f"[data] {place}: is {kind}; labels are whole numbers or text")
    with damage_told(place.file):
        values: list[Any] = np.ravel(found.asstr()[()] if text else found[()]).tolist()
    return values

"""The data source ``[data] name = hdf5``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pydantic import Field

from ssl_host import DataError, Records, RecordSource
from ssl_plugin_hdf5.images import DatasetPath, open_dataset, open_images, report_damage

_SUFFIXES = (".h5", ".hdf5", ".hdf")


class HDF5(RecordSource):
    """Images and labels in the datasets of an HDF5 file.

    * ``images``: uint8 of shape (N, H, W, C), (N, C, H, W) or (N, H, W), where C is 1, 3 or 4; or N
      rows of variable-length uint8 that contain encoded images, such as JPEG; with ``value_range``
      any numbers instead of uint8;
    * ``labels``: N integers or strings; optional. -1, NaN and empty text stand for no label.

    Both may be in groups ``train`` and ``val`` or ``test``. Test images come from such a group, or
    from ``test_images`` and ``test_labels``, or from ``test_file``; otherwise the host holds out a
    fraction of the images. Images are read one by one. Each process opens the file separately.
    """

    class Config(RecordSource.Config):
        file: Path = Field(description="path of the HDF5 file")
        images: str = Field(
            "images", min_length=1, description="name of the dataset with the images"
        )
        labels: str | None = Field(
            None, description="name of the dataset with the labels; default: labels, if it exists"
        )
        test_file: Path | None = Field(None, description="path of an HDF5 file with test images")
        test_images: str | None = Field(
            None,
            description="name of the dataset with the test images, in test_file or else in file",
        )
        test_labels: str | None = Field(
            None,
            description="name of the dataset with the test labels; default: same as labels, but in "
            "test_file or in the group of the test images",
        )

    config: Config

    @classmethod
    def settings_for_path(cls, path: Path) -> Mapping[str, Any] | None:
        return {"file": path} if path.is_file() and path.suffix.lower() in _SUFFIXES else None

    def records(self, held_out: bool) -> Records | None:
        config = self.config
        file = config.file
        has_test_file = held_out and config.test_file is not None
        if held_out and config.test_file is not None:
            file = config.test_file
        datasets = _dataset_names(file)
        images_name = config.images
        labels_name, labels_set = config.labels or "labels", config.labels is not None
        if held_out:
            images_name = config.test_images or images_name
            labels_name = config.test_labels or labels_name
            labels_set = labels_set or config.test_labels is not None
        group = self._split_group(datasets, images_name, held_out)
        if held_out and not has_test_file and config.test_images is None and not group:
            return None
        prefix = "test_" if held_out else ""
        mtime_ns = file.stat().st_mtime_ns
        name = _find_dataset(file, datasets, group, images_name, f"{prefix}images")
        path = DatasetPath(file, name, mtime_ns)
        images = open_images(path, self.channels, f"{file.name}:{name}", config.value_range)
        if len(images) == 0:
            raise DataError(f"[data] {path}: has no rows; use a dataset with one row per image")
        labels, label_name = None, ""
        is_ignored = config.labelled is False
        if not is_ignored and (labels_set or group + labels_name in datasets):
            label_name = _find_dataset(file, datasets, group, labels_name, f"{prefix}labels")
            if held_out and not has_test_file:
                self._check_test_labels(datasets, label_name)
            labels = _read_labels(DatasetPath(file, label_name, mtime_ns), len(images))
        return Records(images, labels, location=str(path), label_name=label_name)

    def _check_test_labels(self, datasets: list[str], name: str) -> None:
        """Check that the test labels are not the training labels of the same file.

        Raises:
            DataError: if they are the same.
        """
        config = self.config
        group = self._split_group(datasets, config.images, held_out=False)
        if name == _full_name(datasets, group, config.labels or "labels"):
            raise DataError(
                f"[data] {config.file}: the labels '{name}' belong to the training images; set "
                "[data] test_labels to the dataset with the labels of the test images"
            )

    def _split_group(self, datasets: list[str], images_name: str, held_out: bool) -> str:
        """Return a split's group as a prefix such as ``train/``; empty if no group has images."""
        prefixes = [name.split("/")[0] for name in datasets]
        groups = {self.split_word(prefix): f"{prefix}/" for prefix in prefixes}
        candidates = [groups.get(s, "") for s in (("val", "test") if held_out else ("train",))]
        return next((g for g in candidates if g and g + images_name in datasets), "")


def _dataset_names(file: Path) -> list[str]:
    """Return the full names of all datasets in a file, such as ``train/images``.

    Raises:
        DataError: when the file does not exist, is damaged or is not an HDF5 file.
    """
    if not file.is_file():
        raise DataError(f"[data] {file}: no such file")
    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(name)

    with report_damage(file), h5py.File(file, "r") as opened:
        opened.visititems(visit)
    return names


def _full_name(datasets: list[str], group: str, name: str) -> str | None:
    """Return the full name of a dataset, or None if the file has no such dataset.

    Args:
        datasets: full names of all datasets in the file.
        group: group of the split as a prefix such as ``train/``; empty if there is none.
        name: full name of the dataset, or its name in the group.
    """
    return next((n for n in (group + name, name.strip("/")) if n in datasets), None)


def _find_dataset(file: Path, datasets: list[str], group: str, name: str, setting: str) -> str:
    """Return the full name of a dataset, as :func:`_full_name` does.

    Args:
        file: path of the file, for the message.
        datasets: full names of all datasets in the file.
        group: group of the split as a prefix.
        name: full name of the dataset, or its name in the group.
        setting: setting to name in the message.

    Raises:
        DataError: when there is no such dataset; the message names the setting to change.
    """
    full_name = _full_name(datasets, group, name)
    if full_name is not None:
        return full_name
    if not datasets:
        raise DataError(f"[data] {file}: the file has no datasets")
    raise DataError(
        f"[data] {file}: has no dataset '{name}'; set [data] {setting} to one of "
        f"{', '.join(sorted(datasets)[:10])}"
    )


def _read_labels(path: DatasetPath, count: int) -> list[Any]:
    """Return the labels as a list of Python numbers or strings.

    Raises:
        DataError: when there is not one label per image, or a label has an invalid type.
    """
    with report_damage(path.file):
        dataset = open_dataset(path)
        dtype, shape = dataset.dtype, dataset.shape
        is_text = h5py.check_string_dtype(dtype) is not None
    if (shape[:1] if shape[1:] == (1,) else shape) != (count,):
        raise DataError(
            f"[data] {path}: has the shape {shape}, but there are {count} images; store one label "
            "per image, or set [data] labelled = false"
        )
    if not is_text and dtype.kind not in "iubf":
        raise DataError(f"[data] {path}: is {dtype}; labels must be integers or text")
    with report_damage(path.file):
        values: list[Any] = np.ravel(dataset.asstr()[()] if is_text else dataset[()]).tolist()
    return values

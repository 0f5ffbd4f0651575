"""A folder of images, as people have it."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from pydantic import Field

from ssl_host import DataError, DataSource, FileImages, ImageSet, Settings

_HELD_OUT = ("val", "validation", "test")


class ImageFolder(DataSource):
    """Images in a folder. Three layouts are understood.

    * ``root/*.jpg``: no labels;
    * ``root/CLASS/*.jpg``: labels, and the host cuts a held-out part;
    * ``root/train/...`` with ``root/val/...`` or ``root/test/...``: held out as they are.
    """

    class Config(Settings):
        root: Path = Field(description="the folder")
        image_size: int = Field(96, ge=8, le=2048, description="side of a view in pixels")
        num_channels: int = Field(3, ge=1, le=3, description="3 for colour, 1 for gray")
        labelled: bool | None = Field(
            None, description="whether subfolders are classes; default: if there are any"
        )

    def setup(self) -> None:
        self.channels = self.config.num_channels
        if self.channels == 1:
            self.mean, self.std = (0.5,), (0.25,)

    def open(self, split: str) -> ImageSet | None:
        root = Path(self.config.root)
        if not root.exists():
            raise DataError(f"[data] root = {root}: no such folder")
        if not root.is_dir():
            raise DataError(f"[data] root = {root}: is a file, not a folder of images")
        held_out = next((root / name for name in _HELD_OUT if (root / name).is_dir()), None)
        train = root / "train" if (root / "train").is_dir() else root
        if split == "test":
            if held_out is None or train == root:
                return None
            classes = class_folders(train) if self._is_labelled(train) else []
            return self._files(held_out, classes or None)
        return self._files(train, class_folders(train) if self._is_labelled(train) else None)

    def _is_labelled(self, folder: Path) -> bool:
        if self.config.labelled is None:
            return bool(class_folders(folder)) and not any(_image_files(folder, deep=False))
        return bool(self.config.labelled)

    def _files(self, folder: Path, classes: list[str] | None) -> FileImages:
        if classes is None:
            paths = sorted(_image_files(folder, deep=True))
            if not paths:
                raise DataError(_nothing(folder))
            return FileImages(paths, channels=self.channels, root=folder)
        strangers = sorted(set(class_folders(folder)) - set(classes))
        if strangers:
            raise DataError(
                f"[data] {folder}: class {', '.join(strangers)} is not among the training "
                f"classes ({', '.join(classes[:10])})"
            )
        paths, labels = [], []
        for label, name in enumerate(classes):
            found = sorted(_image_files(folder / name, deep=True))
            paths += found
            labels += [label] * len(found)
        if not paths:
            raise DataError(_nothing(folder))
        return FileImages(paths, torch.tensor(labels), tuple(classes), self.channels, folder)


class ImageNet(ImageFolder):
    """ILSVRC 2012: ``root/train/n01440764/*.JPEG`` and ``root/val/n01440764/*.JPEG``.

    Russakovsky et al., arXiv:1409.0575. The archives are behind a form at image-net.org and
    are not downloaded; unpack them into these folders.
    """

    class Config(ImageFolder.Config):
        root: Path = Field(Path("/data/ImgNet"), description="the folder with train and val")
        image_size: int = Field(224, ge=8, le=2048, description="side of a view in pixels")


def class_folders(folder: Path) -> list[str]:
    """Names of the subfolders that hold images, sorted."""
    try:
        names = sorted(
            p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")
        )
    except PermissionError:
        raise DataError(f"[data] {folder}: no permission to list it") from None
    return [name for name in names if any(_image_files(folder / name, deep=True))]


def _image_files(folder: Path, deep: bool) -> list[Path]:
    found = []
    for base, folders, names in os.walk(folder, followlinks=True):
        found += [
            Path(base, n) for n in names if n.lower().endswith(FileImages.suffixes) and n[0] != "."
        ]
        if not deep:
            break
        folders[:] = [name for name in folders if not name.startswith(".")]
    return found


def _nothing(folder: Path) -> str:
    present = [p.name for p in folder.iterdir()][:3]
    holds = f"it holds {', '.join(present)}" if present else "it is empty"
    return f"[data] {folder}: no images ({', '.join(FileImages.suffixes)}); {holds}"

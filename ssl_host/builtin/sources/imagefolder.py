"""A folder of images, as people have it."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from ssl_host import DataError, FileImages, Records, RecordSource

_HELD_OUT = ("val", "validation", "test")


class ImageFolder(RecordSource):
    """Images in a folder. Three layouts are understood.

    * ``root/*.jpg``: no labels;
    * ``root/CLASS/*.jpg``: labels, and the host cuts a held-out part;
    * ``root/train/...`` with ``root/val/...`` or ``root/test/...``: held out as they are.
    """

    class Config(RecordSource.Config):
        root: Path = Field(description="the folder")
        labelled: bool | None = Field(
            None, description="whether subfolders are classes; default: if there are any"
        )

    def records(self, held_out: bool) -> Records | None:
        root = Path(self.config.root)
        if not root.exists():
            raise DataError(f"[data] root = {root}: no such folder")
        if not root.is_dir():
            raise DataError(f"[data] root = {root}: is a file, not a folder of images")
        train = root / "train" if (root / "train").is_dir() else root
        folder = train
        if held_out:
            found = next((root / name for name in _HELD_OUT if (root / name).is_dir()), None)
            if found is None or train == root:
                return None
            folder = found
        return self._files(folder, class_folders(train) if self._is_labelled(train) else None)

    def _is_labelled(self, folder: Path) -> bool:
        if self.config.labelled is None:
            return bool(class_folders(folder)) and not any(_image_files(folder, deep=False))
        return bool(self.config.labelled)

    def _files(self, folder: Path, classes: list[str] | None) -> Records:
        if classes is None:
            paths = sorted(_image_files(folder, deep=True))
            labels = None
        else:
            names = sorted({*classes, *class_folders(folder)})
            found = {name: sorted(_image_files(folder / name, deep=True)) for name in names}
            paths = [path for name in names for path in found[name]]
            labels = [name for name in names for _ in found[name]]
        if not paths:
            raise DataError(_nothing(folder))
        images = FileImages(paths, channels=self.channels, root=folder)
        return Records(images, labels, classes, str(folder))


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
            p.name
            for p in folder.iterdir()
            if p.is_dir() and p.name[0] != "." and not _leads_back(p, folder)
        )
    except PermissionError:
        raise DataError(f"[data] {folder}: no permission to list it") from None
    return [name for name in names if any(_image_files(folder / name, deep=True))]


def _image_files(folder: Path, deep: bool) -> list[Path]:
    """Images, and folders that may not be listed: reading those tells why they are left out."""
    found: list[Path] = []

    def closed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a held-out part may lack a class
            found.append(Path(error.filename))

    for base, folders, names in os.walk(folder, followlinks=True, onerror=closed):
        found += [
            Path(base, n) for n in names if n.lower().endswith(FileImages.suffixes) and n[0] != "."
        ]
        if not deep:
            break
        folders[:] = [
            name for name in folders if name[0] != "." and not _leads_back(Path(base, name), folder)
        ]
    return found


def _leads_back(link: Path, top: Path) -> bool:
    """Whether a link is to a folder on its own way down from ``top``, or above: an endless loop."""
    if not link.is_symlink():
        return False
    target = link.resolve()
    way = [parent for parent in link.parents if parent.is_relative_to(top)]
    return any(parent.resolve().is_relative_to(target) for parent in way)


def _nothing(folder: Path) -> str:
    present = [p.name for p in folder.iterdir()][:3]
    holds = f"it holds {', '.join(present)}" if present else "it is empty"
    return f"[data] {folder}: no images ({', '.join(FileImages.suffixes)}); {holds}"

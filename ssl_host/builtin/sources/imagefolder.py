"""Data sources ``imagefolder`` and ``imagenet``: images in folders."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from ssl_host import DataError, FileImages, Records, RecordSource

_HELD_OUT = ("val", "validation", "test")


class ImageFolder(RecordSource):
    """Images in a folder, in one of three layouts.

    * ``root/*.jpg``: images without labels;
    * ``root/CLASS/*.jpg``: the subfolders are the labels, and the host holds out some images;
    * ``root/train/...`` with ``root/val/...`` or ``root/test/...``: the held-out images have their
      own folder.
    """

    class Config(RecordSource.Config):
        root: Path = Field(description="folder that contains the images")
        labelled: bool | None = Field(
            None,
            description="true if the subfolders are classes; default: true if all images are in "
            "subfolders",
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
            test = next((root / name for name in _HELD_OUT if (root / name).is_dir()), None)
            if test is None or train == root:
                return None
            folder = test
        train_files = self._labelled_files(train)
        if train_files is None:
            classes, labels = None, None
            paths = sorted(_image_files(folder, deep=True))
        else:
            classes = list(train_files)
            files = train_files if folder == train else _class_files(folder)
            for name in classes:
                if name not in files:
                    files[name] = _image_files(folder / name, deep=True)
            paths = [path for name in sorted(files) for path in sorted(files[name])]
            labels = [name for name in sorted(files) for _ in files[name]]
        if not paths:
            raise DataError(_no_images_message(folder))
        images = FileImages(paths, channels=self.channels, root=folder)
        return Records(images, labels, classes, str(folder))

    def _labelled_files(self, folder: Path) -> dict[str, list[Path]] | None:
        """Return the images of each class, or None if the subfolders are not classes."""
        if self.config.labelled is False:
            return None
        files = _class_files(folder)
        if self.config.labelled is None and (not files or any(_image_files(folder, deep=False))):
            return None
        return files


class ImageNet(ImageFolder):
    """ImageNet (ILSVRC 2012): ``root/train/CLASS/*.JPEG`` and ``root/val/CLASS/*.JPEG``.

    Russakovsky et al., arXiv:1409.0575. CLASS is a name such as n01440764. The archives
    are not downloaded, because image-net.org requires registration; unpack them into these folders.
    """

    class Config(ImageFolder.Config):
        root: Path = Field(Path("/data/ImgNet"), description="folder that contains train and val")
        image_size: int = Field(224, ge=8, le=2048, description="side of a view in pixels")


def _class_files(folder: Path) -> dict[str, list[Path]]:
    """Return the images in each subfolder that contains images, keyed by sorted folder name."""
    try:
        names = sorted(
            p.name
            for p in folder.iterdir()
            if p.is_dir() and p.name[0] != "." and not _is_loop(p, folder)
        )
    except PermissionError:
        raise DataError(f"[data] {folder}: no permission to list it") from None
    files = {name: _image_files(folder / name, deep=True) for name in names}
    return {name: paths for name, paths in files.items() if paths}


def _image_files(folder: Path, deep: bool) -> list[Path]:
    """Return the paths of the images in a folder and, if ``deep``, in its subfolders.

    Folders that cannot be listed are returned as well, so that reading them reports the reason.
    """
    paths: list[Path] = []

    def add_folder(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a class may be missing in the test split
            paths.append(Path(error.filename))

    for base, folders, names in os.walk(folder, followlinks=True, onerror=add_folder):
        paths += [
            Path(base, n) for n in names if n.lower().endswith(FileImages.suffixes) and n[0] != "."
        ]
        if not deep:
            break
        folders[:] = [
            name for name in folders if name[0] != "." and not _is_loop(Path(base, name), folder)
        ]
    return paths


def _is_loop(link: Path, top: Path) -> bool:
    """Return True if a link leads to one of its parent folders, so a walk would never end."""
    if not link.is_symlink():
        return False
    target = link.resolve()
    parents = [parent for parent in link.parents if parent.is_relative_to(top)]
    return any(parent.resolve().is_relative_to(target) for parent in parents)


def _no_images_message(folder: Path) -> str:
    """Return the error message for a folder that contains no images."""
    names = [p.name for p in folder.iterdir()][:3]
    content = f"it contains {', '.join(names)}" if names else "it is empty"
    return f"[data] {folder}: no images ({', '.join(FileImages.suffixes)}); {content}"

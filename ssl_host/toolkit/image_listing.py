"""Lists the image files below a folder in one pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl_host.errors import DataError
from ssl_host.toolkit.image_files import FileImages

FolderId = tuple[int, int]
"""Device and inode of a folder, which are equal for all paths and links to it."""

_RUN_FILES = {"config.ini", "config.json"}
_ENVIRONMENT_FILES = {"pyvenv.cfg", "conda-meta"}
_MARKERS = _RUN_FILES | _ENVIRONMENT_FILES
_OTHER_FOLDERS = {"__MACOSX", "@eaDir", "__pycache__", "node_modules"}


@dataclass
class ImageListing:
    """Record of the image files in a folder and its subfolders.

    Attributes:
        folder: path of the folder.
        paths: paths of the images, sorted by their parts.
        groups: name of the direct subfolder and number of images for each run of consecutive
            paths; the name of images in the folder itself is empty.
        folders: path of each folder that was listed, keyed by its identity.
        left_out: path and reason of each folder that was left out.
    """

    folder: Path
    paths: list[str] = field(default_factory=list)
    groups: list[tuple[str, int]] = field(default_factory=list)
    folders: dict[FolderId, str] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def subfolders(self) -> list[str]:
        """Names of the direct subfolders that contain images, sorted."""
        return [name for name, _ in self.groups if name]

    @property
    def num_loose(self) -> int:
        """Number of images in the folder itself."""
        return sum(count for name, count in self.groups if not name)

    def notes(self) -> list[str]:
        """Return a list with a sentence about the folders left out; empty if there are none."""
        if not self.left_out:
            return []
        shown = [f"{os.path.relpath(path, self.folder)} ({why})" for path, why in self.left_out[:5]]
        more = f" and {len(self.left_out) - 5} more" if len(self.left_out) > 5 else ""
        return [f"{self.folder}: left out {', '.join(shown)}{more}"]


def list_images(
    folder: str | Path,
    excluded: Iterable[str | Path] = (),
    training_folders: Mapping[FolderId, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> ImageListing:
    """Return the image files in a folder and its subfolders.

    Hidden files and folders are skipped. Links to folders are followed, but each folder is listed
    once, so that no image gets two labels. Left out are the folders in ``excluded``, run folders,
    folders of W&B and of Python environments. A folder that cannot be listed counts as an image,
    so that reading it reports the reason.

    Args:
        folder: folder to list.
        excluded: folders to leave out, for example because runs write to them.
        training_folders: the folders of the training images, if the listed images are held out.
        progress: function that is called with the number of images found so far.

    Raises:
        DataError: if the folder cannot be listed, or if it shares a folder with the training
            images.
    """
    walk = _Walk(str(folder), excluded, training_folders or {}, progress)
    top = walk.list_all()
    listing = ImageListing(Path(folder), folders=walk.seen, left_out=sorted(walk.left_out))
    for name in top.sorted_names():
        paths = [top.prefix + name] if name not in top.folders else top.folders[name].flatten()
        if not paths:
            continue
        group = name if name in top.folders else ""
        listing.paths += paths
        if listing.groups and listing.groups[-1][0] == group:
            listing.groups[-1] = (group, listing.groups[-1][1] + len(paths))
        else:
            listing.groups.append((group, len(paths)))
    return listing


class _Folder:
    """Names of the images in a folder, and its subfolders."""

    __slots__ = ("files", "folders", "is_unreadable", "path", "prefix")

    def __init__(self, path: str) -> None:
        self.path = path
        self.prefix = os.path.join(path, "")  # noqa: PTH118 - no Path for each folder
        self.files: list[str] = []
        self.folders: dict[str, _Folder] = {}
        self.is_unreadable = False

    def sorted_names(self) -> list[str]:
        """Return the names of all images and subfolders, sorted."""
        return sorted([*self.files, *self.folders])

    def flatten(self) -> list[str]:
        """Return the paths of the images in this folder and its subfolders, sorted by parts."""
        if self.is_unreadable:
            return [self.path]
        prefix = self.prefix
        if not self.folders:
            return [prefix + name for name in sorted(self.files)]
        paths: list[str] = []
        for name in self.sorted_names():
            folder = self.folders.get(name)
            paths += [prefix + name] if folder is None else folder.flatten()
        return paths


class _Walk:
    """Walks through a folder: first its real subfolders, then links to other folders."""

    def __init__(
        self,
        top: str,
        excluded: Iterable[str | Path],
        training_folders: Mapping[FolderId, str],
        progress: Callable[[int], None] | None,
    ) -> None:
        self.top = top
        self.excluded = {_identity(path) for path in excluded} - {None}
        self.training_folders = training_folders
        self.progress = progress
        self.seen: dict[FolderId, str] = {}
        self.left_out: list[tuple[str, str]] = []
        self.links: list[tuple[_Folder, str]] = []
        self.count = 0

    def list_all(self) -> _Folder:
        """List the folder and return it as a tree of image names."""
        top = _Folder(self.top)
        self._fill(top, _identity(self.top))
        if top.is_unreadable:
            raise DataError(f"[data] {self.top}: no permission to list it")
        parents = {_identity(path) for path in Path(self.top).resolve().parents}
        # A link comes after the folder it leads to: images belong to the folder that has them.
        while self.links:
            parent, name = self.links.pop(0)
            path = parent.prefix + name
            identity = _identity(path)
            if identity in self.seen and not self._contains(identity, path):
                other = os.path.relpath(self.seen[identity], self.top)
                self.left_out.append((path, f"a link to {other}, which is listed already"))
            elif identity not in parents and identity not in self.seen:
                self._enter(parent, name, identity)
        return top

    def _contains(self, identity: FolderId, path: str) -> bool:
        """Return True if a listed folder contains the path, so that a link there is a loop."""
        folder = self.seen[identity]
        return folder == self.top or path.startswith(os.path.join(folder, ""))  # noqa: PTH118

    def _enter(self, parent: _Folder, name: str, identity: FolderId | None) -> None:
        """List a subfolder, unless it is to be left out."""
        path = parent.prefix + name
        if identity in self.excluded:
            self.left_out.append((path, "runs write to this folder"))
            return
        folder = _Folder(path)
        reason = "not a folder of images" if name in _OTHER_FOLDERS else None
        reason = reason or self._fill(folder, identity)
        if reason is None:
            parent.folders[name] = folder
        else:
            self.left_out.append((path, reason))

    def _fill(self, folder: _Folder, identity: FolderId | None) -> str | None:
        """List a folder and its real subfolders; return a reason to leave it out, or None."""
        if identity is not None and identity in self.training_folders:
            raise DataError(
                f"[data] {folder.path}: is the same folder as {self.training_folders[identity]}, "
                "so its images would be both training images and held out; remove the link"
            )
        subfolders, links, markers = self._scan(folder)
        reason = _reason(folder.path, markers, subfolders + links)
        if reason is not None and folder.path != self.top:
            return reason
        if identity is not None:
            self.seen[identity] = folder.path
        self.links += [(folder, name) for name in links]
        self.count += len(folder.files)
        if self.progress is not None:
            self.progress(self.count)
        for name in subfolders:
            self._enter(folder, name, _identity(folder.prefix + name))
        return None

    @staticmethod
    def _scan(folder: _Folder) -> tuple[list[str], list[str], set[str]]:
        """Set a folder's files; return the names of its subfolders and links, and its markers."""
        subfolders: list[str] = []
        links: list[str] = []
        markers: set[str] = set()
        suffixes, files = FileImages.suffixes, folder.files
        try:
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    name = entry.name
                    if name[0] == ".":
                        continue
                    if name in _MARKERS:
                        markers.add(name)
                    if entry.is_dir():
                        (links if entry.is_symlink() else subfolders).append(name)
                    elif name.lower().endswith(suffixes):
                        files.append(name)
        except OSError as error:
            folder.is_unreadable = not isinstance(error, FileNotFoundError)  # it is just deleted
        return sorted(subfolders), sorted(links), markers


def _identity(path: str | Path) -> FolderId | None:
    """Return the device and inode of a folder, or None if there is no such folder."""
    try:
        info = os.stat(path)  # noqa: PTH116 - no Path for each folder
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _reason(path: str, markers: set[str], subfolders: Sequence[str]) -> str | None:
    """Return why a folder is not a folder of images, or None."""
    if markers >= _RUN_FILES:
        return "a run folder"
    if markers & _ENVIRONMENT_FILES:
        return "a Python environment"
    prefixes = ("run-", "offline-run-", "latest-run")
    if path.rpartition(os.sep)[2] == "wandb" and any(
        name.startswith(prefixes) for name in subfolders
    ):
        return "a folder of W&B"
    return None

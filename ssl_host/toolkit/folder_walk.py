"""Walk through a folder and its subfolders, listing each folder and each image once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_host.errors import DataError
from ssl_host.toolkit.image_files import FileImages
from ssl_host.toolkit.unique_files import FileId, UniqueFiles, find_same_file, identify

if TYPE_CHECKING:
    from ssl_host.toolkit.image_listing import ImageListing

_RUN_FILES = {"config.ini", "config.json"}
_ENVIRONMENT_FILES = {"pyvenv.cfg", "conda-meta"}
_MARKERS = _RUN_FILES | _ENVIRONMENT_FILES
_OTHER_FOLDERS = {"__MACOSX", "@eaDir", "__pycache__", "node_modules"}


class Folder:
    """Folder in a tree of folders: the names of its images, and its subfolders."""

    __slots__ = ("file_links", "files", "folders", "is_unreadable", "path", "prefix")

    def __init__(self, path: str) -> None:
        self.path = path
        self.prefix = os.path.join(path, "")  # noqa: PTH118 - no Path for each folder
        self.files: list[str] = []
        self.file_links: list[tuple[str, FileId]] = []
        self.folders: dict[str, Folder] = {}
        self.is_unreadable = False

    def sorted_names(self) -> list[str]:
        """Return the names of all images and subfolders, sorted."""
        return sorted([*self.files, *self.folders])

    def flatten(self) -> list[str]:
        """Return the paths of the images in this folder and its subfolders, in sorted order.

        A folder that cannot be listed counts as an image.
        """
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


class FolderWalk:
    """Traversal of a folder: first its real subfolders and files, then links to others.

    :func:`~ssl_host.toolkit.image_listing.list_images` describes the arguments.
    """

    def __init__(
        self,
        top: str,
        excluded: Iterable[str | Path],
        listed: Sequence[ImageListing],
        held_out: bool,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.top = top
        self.excluded = {identify(path) for path in excluded} - {None}
        self.listed = listed
        self.held_out = held_out
        self.progress = progress
        self.files = UniqueFiles([listing.inodes for listing in listed])
        self.seen: dict[FileId, str] = {}
        self.left_out: list[tuple[str, str]] = []
        self.duplicates: list[str] = []
        self.links: list[tuple[Folder, str]] = []
        self.with_file_links: list[Folder] = []
        self.count = 0

    def list_all(self) -> Folder:
        """List the folder and return it as a tree of image names.

        Raises:
            DataError: if the folder cannot be listed, or if a held-out image is a training image.
        """
        top = Folder(self.top)
        self._list_folder(top, identify(self.top))
        if top.is_unreadable:
            raise DataError(f"[data] {self.top}: no permission to list this folder")
        parents = {identify(path) for path in Path(self.top).resolve().parents}
        # Follow links last, so that images are listed in the folder that really contains them.
        while self.links:
            parent, name = self.links.pop(0)
            path = parent.prefix + name
            identity = identify(path)
            is_loop = identity in parents or self._leads_to_parent(identity, path)
            if not is_loop:
                self._list_subfolder(parent, name, identity)
        self._add_file_links()
        return top

    def _add_file_links(self) -> None:
        """Add the linked files that are not in any listed folder."""
        for folder in sorted(self.with_file_links, key=lambda folder: folder.path):
            for name, identity in sorted(folder.file_links):
                if self.files.add(*identity):
                    folder.files.append(name)
                else:
                    self._skip_duplicate(folder.prefix + name)

    def _skip_duplicate(self, path: str) -> None:
        """Leave out a link to a listed image.

        Raises:
            DataError: if the link is held out and the listed image is a training image.
        """
        # The search examines every training file, so it runs only for an image that is one of them.
        if self.held_out and self._is_listed(path):
            training = (file for listing in self.listed for file in listing.paths)
            same = find_same_file(path, training)
            if same is not None:
                raise DataError(
                    f"[data] {path}: is held out, but it is the same file as the training image "
                    f"{same}; remove one of the two"
                )
        self.duplicates.append(path)

    def _is_listed(self, path: str) -> bool:
        """Return True if an image in another listing has the device and inode of a file."""
        identity = identify(path)
        if identity is None:
            return False
        device, inode = identity
        return any(inode in listing.inodes.get(device, ()) for listing in self.listed)

    def _leads_to_parent(self, identity: FileId | None, path: str) -> bool:
        """Return True if a link leads to a listed folder that contains the link: a loop."""
        folder = None if identity is None else self.seen.get(identity)
        if folder is None:
            return False
        return folder == self.top or path.startswith(os.path.join(folder, ""))  # noqa: PTH118

    def _list_subfolder(self, parent: Folder, name: str, identity: FileId | None) -> None:
        """List a subfolder, or record the reason why it is left out."""
        path = parent.prefix + name
        if identity in self.excluded:
            self.left_out.append((path, "runs write to this folder"))
            return
        folder = Folder(path)
        reason = "not a folder of images" if name in _OTHER_FOLDERS else None
        reason = reason or self._list_folder(folder, identity)
        if reason is None:
            parent.folders[name] = folder
        else:
            self.left_out.append((path, reason))

    def _list_folder(self, folder: Folder, identity: FileId | None) -> str | None:
        """List a folder and its real subfolders; return a reason to leave it out, or None."""
        other = self._listed_folder(identity)
        if other is not None:
            return f"a link to {os.path.relpath(other, self.top)}, which is already listed"
        subfolders, links, markers, inodes = self._scan(folder)
        reason = _reason_to_skip(folder.path, markers, subfolders + links)
        if reason is not None and folder.path != self.top:
            return reason
        if identity is not None:
            self.seen[identity] = folder.path
            folder.files, known = self.files.add_folder(
                folder.prefix, folder.files, inodes, identity[0]
            )
            for name in known:
                self._skip_duplicate(folder.prefix + name)
        if folder.file_links:
            self.with_file_links.append(folder)
        self.links += [(folder, name) for name in links]
        self.count += len(folder.files)
        if self.progress is not None:
            self.progress(self.count)
        for name in subfolders:
            self._list_subfolder(folder, name, identify(folder.prefix + name))
        return None

    def _listed_folder(self, identity: FileId | None) -> str | None:
        """Return the path under which a folder is already listed, or None.

        Raises:
            DataError: if the folder is held out and was listed for the training images.
        """
        if identity is None:
            return None
        known = (listing.folders.get(identity) for listing in self.listed)
        training = next(filter(None, known), None)
        if training is not None and self.held_out:
            raise DataError(
                f"[data] {self.top}: contains the same folder as {training}, so its images would "
                "be both training images and held out; remove the link"
            )
        return self.seen.get(identity, training)

    @staticmethod
    def _scan(folder: Folder) -> tuple[list[str], list[str], set[str], list[int]]:
        """Set a folder's files; return its subfolders, folder links, markers and files' inodes."""
        subfolders: list[str] = []
        links: list[str] = []
        markers: set[str] = set()
        inodes: list[int] = []
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
                        target = _link_target(entry) if entry.is_symlink() else None
                        if target is None:
                            files.append(name)
                            inodes.append(entry.inode())
                        else:
                            folder.file_links.append((name, target))
        except OSError as error:
            folder.is_unreadable = not isinstance(
                error, FileNotFoundError
            )  # deleted in the meantime
        return sorted(subfolders), sorted(links), markers, inodes


def _link_target(entry: os.DirEntry[str]) -> FileId | None:
    """Return the identity of the file that a link leads to, or None if it does not exist."""
    try:
        info = entry.stat()  # free: is_dir has already followed the link
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _reason_to_skip(path: str, markers: set[str], subfolders: Sequence[str]) -> str | None:
    """Return why a folder is not a folder of images, or None if it may be one."""
    if markers >= _RUN_FILES:
        return "a run folder"
    if markers & _ENVIRONMENT_FILES:
        return "a Python environment"
    prefixes = ("run-", "offline-run-", "latest-run")
    if path.rpartition(os.sep)[2] == "wandb" and any(
        name.startswith(prefixes) for name in subfolders
    ):
        return "a W&B folder"
    return None

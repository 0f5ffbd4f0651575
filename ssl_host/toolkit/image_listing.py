"""List the image files below a folder in one pass, each file only once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl_host.toolkit.folder_walk import FolderWalk
from ssl_host.toolkit.plurals import pluralize
from ssl_host.toolkit.unique_files import FileId, Inodes


@dataclass
class ImageListing:
    """Image files in a folder and its subfolders, grouped by direct subfolder.

    Attributes:
        folder: path of the folder.
        paths: paths of the images, sorted by their components.
        groups: pairs (name of a direct subfolder, number of images), in the order of ``paths``; the
            name is empty for images that are directly in the folder.
        folders: path of each folder that was listed, keyed by its identity.
        inodes: inodes of the images, keyed by device.
        left_out: path and reason of each folder that was left out.
        duplicates: paths of links to images that are already listed; they are left out.
    """

    folder: Path
    paths: list[str] = field(default_factory=list)
    groups: list[tuple[str, int]] = field(default_factory=list)
    folders: dict[FileId, str] = field(default_factory=dict)
    inodes: Inodes = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)

    @property
    def subfolders(self) -> list[str]:
        """Names of the direct subfolders that contain images, sorted."""
        return [name for name, _ in self.groups if name]

    @property
    def num_loose(self) -> int:
        """Number of images directly in the folder, not in a subfolder."""
        return sum(size for name, size in self.groups if not name)

    def notes(self) -> list[str]:
        """Return sentences about the folders and files left out, as a list that may be empty."""
        notes = []
        if self.left_out:
            folders = [f"{self._relative(path)} ({why})" for path, why in self.left_out[:5]]
            more = f" and {len(self.left_out) - 5} more" if len(self.left_out) > 5 else ""
            notes.append(f"{self.folder}: left out {', '.join(folders)}{more}")
        if self.duplicates:
            notes.append(
                f"{self.folder}: left out {pluralize(len(self.duplicates), 'link')} to images "
                f"that are already listed, such as {self._relative(self.duplicates[0])}, because "
                "each image has only one class"
            )
        return notes

    def _relative(self, path: str) -> str:
        """Return a path relative to the folder."""
        return os.path.relpath(path, self.folder)


def list_images(
    folder: str | Path,
    excluded: Iterable[str | Path] = (),
    *,
    listed: Sequence[ImageListing] = (),
    held_out: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ImageListing:
    """Return the image files in a folder and its subfolders.

    Hidden files and folders are skipped. Links to folders and files are followed, but each folder
    and file is listed only once, so that no image gets two labels; a link is left out if its target
    is listed too. The folders in ``excluded``, run folders, W&B folders and Python environments are
    also left out. A folder that cannot be listed counts as an image, so that reading it reports the
    reason.

    Args:
        folder: folder to list.
        excluded: folders to leave out, for example because runs write to them.
        listed: listings of other folders; what they contain is not listed again.
        held_out: True if the images are held out and ``listed`` are the training images. An image
            in both is then an error.
        progress: function that is called with the number of images found so far; None for none.

    Raises:
        DataError: if the folder cannot be listed, or if a held-out image is a training image.
    """
    walk = FolderWalk(str(folder), excluded, listed, held_out, progress)
    top = walk.list_all()
    listing = ImageListing(
        Path(folder),
        folders=walk.seen,
        inodes=walk.files.inodes,
        left_out=sorted(walk.left_out),
        duplicates=sorted(walk.duplicates),
    )
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

"""Data sources ``imagefolder`` and ``imagenet``: images in folders."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ssl_host import (
    DataError,
    FileImages,
    ImageListing,
    Records,
    RecordSource,
    has_files,
    list_images,
)
from ssl_host.builtin.sources.split_folders import (
    class_notes,
    find_splits,
    is_train_a_class,
    reject_nested_classes,
    subfolders,
    unwrap_nested_folder,
)


class ImageFolder(RecordSource):
    """Images in a folder, in one of three layouts.

    * ``root/*.jpg``: images without labels;
    * ``root/CLASS/*.jpg``: the subfolders are the labels, and the host holds out some images;
    * ``root/train/...`` with ``root/val/...`` or ``root/test/...``: the held-out images have their
      own folder.

    Other names, such as ``valid``, ``Testing`` or ``seg_train`` with ``seg_test``, are recognised
    too. Images outside of the class folders, or in a folder called ``unlabeled``, ``nan`` or
    ``-1``, have no label: pretraining uses them, but evaluators do not. A file or folder that can
    be reached through several links is listed once. Run folders, ``[run] dir`` and W&B folders
    are left out.
    """

    class Config(RecordSource.Config):
        root: Path = Field(description="folder that contains the images")
        labelled: bool | None = Field(
            None,
            description="true if the subfolders are classes; default: true if any image is in a "
            "subfolder",
        )

    _training: tuple[ImageListing, ...] = ()

    @classmethod
    def settings_for_path(cls, path: Path) -> Mapping[str, Any] | None:
        is_image_folder = path.is_dir() and has_files(path, FileImages.suffixes)
        return {"root": path} if is_image_folder else None

    def records(self, held_out: bool) -> Records | None:
        root = _existing_folder(self.config.root)
        train, test, split_notes = self._split_folders(root)
        if not held_out or not self._training:
            self._training = (self._list(train),)
            for path in _unlabelled_folders(root, train):
                self._training += (self._list(path, self._training),)
        training = self._training[0]
        classes = [name for name in training.subfolders if not self.is_unlabelled_folder(name)]
        if self.config.labelled is False:
            classes = []
        elif self.config.labelled is None:
            reject_nested_classes(training, classes)
            split_notes += class_notes(training.folder, classes)
        if not held_out:
            listings = self._training
        elif test is None:
            return None
        else:
            listings = (self._list(test, self._training, held_out=True),)
            _require_class_folders(listings[0], training, classes)
        if not any(listing.paths for listing in listings):
            raise DataError(_no_images_message(listings[0]))
        folder = listings[0].folder if len(listings) == 1 else root
        paths = [path for listing in listings for path in listing.paths]
        images = FileImages(paths, channels=self.channels, root=folder)
        labels = None
        if classes or listings[0].subfolders:
            labels = [label for listing in listings for label in _labels(listing, training)]
        notes = [note for listing in listings for note in listing.notes()]
        return Records(images, labels, classes or None, str(folder), [*split_notes, *notes])

    def _reject_overlap(self, held_out: Records) -> None:
        """Do nothing: ``list_images`` has already compared the files with the training images."""

    def _split_folders(self, root: Path) -> tuple[Path, Path | None, list[str]]:
        """Return the folders of training and held-out images, and notes about unused folders.

        The second folder is None if there are no held-out images.
        """
        excluded = {Path(path).resolve() for path in self.excluded}
        names = [name for name in subfolders(root) if (root / name).resolve() not in excluded]
        train, held_out = find_splits(names)
        used = [name for name in (train, held_out) if name]
        others = [n for n in names if n not in used and not self.is_unlabelled_folder(n)]
        if not train or (not held_out and is_train_a_class(root, others, self.config.labelled)):
            return root, None, []
        notes = []
        if others:
            verb = "are" if held_out else "is"
            notes = [f"{root}: only {' and '.join(used)} {verb} used, not {', '.join(others[:5])}"]
        return (
            unwrap_nested_folder(root / train),
            unwrap_nested_folder(root / held_out) if held_out else None,
            notes,
        )

    def _list(
        self, folder: Path, listed: Sequence[ImageListing] = (), held_out: bool = False
    ) -> ImageListing:
        """Return a listing of the images in a folder, without those in the listings ``listed``."""
        return list_images(
            folder, self.excluded, listed=listed, held_out=held_out, progress=self.progress
        )


class ImageNet(ImageFolder):
    """ImageNet (ILSVRC 2012): ``root/train/CLASS/*.JPEG`` and ``root/val/CLASS/*.JPEG``.

    Russakovsky et al., arXiv:1409.0575. CLASS is a name such as n01440764. The archives
    are not downloaded, because image-net.org requires registration; unpack them into these folders.
    """

    class Config(ImageFolder.Config):
        root: Path = Field(Path("/data/ImgNet"), description="folder that contains train and val")
        image_size: int = Field(224, ge=8, le=2048, description="side of a view in pixels")

    @classmethod
    def settings_for_path(cls, path: Path) -> Mapping[str, Any] | None:
        return None  # imagefolder reads the same folders


def _existing_folder(root: Path) -> Path:
    """Return the folder of the dataset; raise DataError if there is no such folder."""
    if not root.exists():
        raise DataError(f"[data] root = {root}: no such folder")
    if not root.is_dir():
        raise DataError(f"[data] root = {root}: is a file, not a folder of images")
    return root


def _unlabelled_folders(root: Path, train: Path) -> list[Path]:
    """Return the folders of unlabelled images next to the folder of the training images."""
    if train == root:
        return []
    return [root / n for n in subfolders(root) if RecordSource.is_unlabelled_folder(n)]


def _labels(listing: ImageListing, training: ImageListing) -> Iterator[str | None]:
    """Yield the class name of each image in a listing, or None for an image without a label.

    The folder -1 keeps its name, so that the host can reject it if it is probably a class.
    """
    is_unlabelled = RecordSource.is_unlabelled_folder
    is_labelled = listing is training or not is_unlabelled(listing.folder.name)
    for name, count in listing.groups:
        label = name if is_labelled and (name == "-1" or not is_unlabelled(name)) else None
        yield from itertools.repeat(label, count)


def _require_class_folders(
    held_out: ImageListing, training: ImageListing, classes: Sequence[str]
) -> None:
    """Raise DataError if only the training images are in class folders, not the held-out ones."""
    if classes and held_out.paths and not held_out.subfolders:
        raise DataError(
            f"[data] {held_out.folder}: its images are not in class folders such as "
            f"{', '.join(classes[:5])}, which {training.folder} has; move the images into class "
            f"folders, remove {held_out.folder.name} so that the host holds out some training "
            "images, or set [data] labelled = false"
        )


def _no_images_message(listing: ImageListing) -> str:
    """Return the error message for a folder that contains no images."""
    names = sorted(path.name for path in listing.folder.iterdir())[:3]
    content = f"it contains {', '.join(names)}" if names else "it is empty"
    text = f"[data] {listing.folder}: no images ({', '.join(FileImages.suffixes)}); {content}"
    return "; ".join([text, *listing.notes()])

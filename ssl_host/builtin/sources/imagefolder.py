"""Data sources ``imagefolder`` and ``imagenet``: images in folders."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from ssl_host import DataError, FileImages, ImageListing, Records, RecordSource, list_images


class ImageFolder(RecordSource):
    """Images in a folder, in one of three layouts.

    * ``root/*.jpg``: images without labels;
    * ``root/CLASS/*.jpg``: the subfolders are the labels, and the host holds out some images;
    * ``root/train/...`` with ``root/val/...`` or ``root/test/...``: the held-out images have their
      own folder.

    Other names, such as ``valid``, ``dev`` or ``Testing``, are understood too. Images outside of
    the class folders, or in a folder called ``unlabeled``, ``none`` or ``-1``, have no label:
    pretraining uses them, evaluators do not. A file or folder that several links lead to is
    listed once. Run folders, ``[run] dir`` and folders of W&B are left out.
    """

    class Config(RecordSource.Config):
        root: Path = Field(description="folder that contains the images")
        labelled: bool | None = Field(
            None,
            description="true if the subfolders are classes; default: true if any image is in a "
            "subfolder",
        )

    _training: tuple[ImageListing, ...] = ()

    def records(self, held_out: bool) -> Records | None:
        root = Path(self.config.root)
        if not root.exists():
            raise DataError(f"[data] root = {root}: no such folder")
        if not root.is_dir():
            raise DataError(f"[data] root = {root}: is a file, not a folder of images")
        train, test, split_notes = self._split_folders(root)
        if not held_out or not self._training:
            self._training = (self._list(train),)
            for path in _unlabelled_folders(root, train):
                self._training += (self._list(path, self._training),)
        training = self._training[0]
        classes = [name for name in training.subfolders if not self.is_missing_label(name)]
        if self.config.labelled is False:
            classes = []
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
        """Do nothing: ``list_images`` has compared the files with the training images."""

    def _split_folders(self, root: Path) -> tuple[Path, Path | None, list[str]]:
        """Return the folders of the training and the held-out images, and notes about others.

        The second is None if there is no such folder. Names in other spellings than ``train``,
        such as Training, count only together with a held-out folder: one may be a class.
        """
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        folders = {word: self._named(word, names) for word in ("train", "val", "test")}
        held_out = folders["val"] or folders["test"]
        if not folders["train"] or not (held_out or "train" in names):
            return root, None, []
        used = [folders["train"][0], *held_out[:1]]
        excluded = {Path(path).resolve() for path in self.excluded}
        others = [
            name
            for name in names
            if name not in used
            and not name.startswith((".", "_"))
            and not self.is_missing_label(name)
            and (root / name).resolve() not in excluded
        ]
        notes = []
        if others:
            notes = [f"{root}: only {' and '.join(used)} are used, not {', '.join(others[:5])}"]
        return root / used[0], root / used[1] if held_out else None, notes

    def _named(self, word: str, names: Sequence[str]) -> list[str]:
        """Return the names of folders that stand for a split, the usual one first."""
        found = [name for name in names if self.split_word(name) == word]
        return sorted(found, key=lambda name: (name != word, name != name.lower(), name))

    def _list(
        self, folder: Path, listed: Sequence[ImageListing] = (), held_out: bool = False
    ) -> ImageListing:
        """Return the images in a folder without those that are listed already."""
        return list_images(folder, self.excluded, listed, held_out, self.progress)


class ImageNet(ImageFolder):
    """ImageNet (ILSVRC 2012): ``root/train/CLASS/*.JPEG`` and ``root/val/CLASS/*.JPEG``.

    Russakovsky et al., arXiv:1409.0575. CLASS is a name such as n01440764. The archives
    are not downloaded, because image-net.org requires registration; unpack them into these folders.
    """

    class Config(ImageFolder.Config):
        root: Path = Field(Path("/data/ImgNet"), description="folder that contains train and val")
        image_size: int = Field(224, ge=8, le=2048, description="side of a view in pixels")


def _unlabelled_folders(root: Path, train: Path) -> list[Path]:
    """Return the folders of unlabelled images next to the folder of the training images."""
    if train == root:
        return []
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    return [root / name for name in names if RecordSource.is_missing_label(name)]


def _labels(listing: ImageListing, training: ImageListing) -> Iterator[str | None]:
    """Yield the class name of each image, or None for an image without a label."""
    is_missing = RecordSource.is_missing_label
    is_labelled = listing is training or not is_missing(listing.folder.name)
    for name, count in listing.groups:
        label = name if is_labelled and not is_missing(name) else None
        yield from itertools.repeat(label, count)


def _require_class_folders(
    held_out: ImageListing, training: ImageListing, classes: Sequence[str]
) -> None:
    """Raise DataError if the training images are in class folders and the held-out ones are not."""
    if classes and held_out.paths and not held_out.subfolders:
        raise DataError(
            f"[data] {held_out.folder}: its images are not in class folders, but those of "
            f"{training.folder} are ({', '.join(classes[:5])}); move them into such folders, "
            "remove this folder so that the host holds out some training images, or set [data] "
            "labelled = false"
        )


def _no_images_message(listing: ImageListing) -> str:
    """Return the error message for a folder that contains no images."""
    names = sorted(path.name for path in listing.folder.iterdir())[:3]
    content = f"it contains {', '.join(names)}" if names else "it is empty"
    text = f"[data] {listing.folder}: no images ({', '.join(FileImages.suffixes)}); {content}"
    return "; ".join([text, *listing.notes()])

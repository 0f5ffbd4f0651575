"""Data sources ``imagefolder`` and ``imagenet``: images in folders."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from ssl_host import DataError, FileImages, ImageListing, Records, RecordSource, list_images

_HELD_OUT = ("val", "validation", "test")
_UNLABELLED = ("unlabeled", "unlabelled")
"""Names of folders with images that have no label, as in STL-10."""


class ImageFolder(RecordSource):
    """Images in a folder, in one of three layouts.

    * ``root/*.jpg``: images without labels;
    * ``root/CLASS/*.jpg``: the subfolders are the labels, and the host holds out some images;
    * ``root/train/...`` with ``root/val/...`` or ``root/test/...``: the held-out images have their
      own folder.

    Images outside of the class folders, or in a folder called ``unlabeled``, have no label:
    pretraining uses them, evaluators do not. A folder that links lead to twice is listed once. Run
    folders, ``[run] dir`` and folders of W&B are left out.
    """

    class Config(RecordSource.Config):
        root: Path = Field(description="folder that contains the images")
        labelled: bool | None = Field(
            None,
            description="true if the subfolders are classes; default: true if any image is in a "
            "subfolder",
        )

    _training: ImageListing | None = None

    def records(self, held_out: bool) -> Records | None:
        root = Path(self.config.root)
        if not root.exists():
            raise DataError(f"[data] root = {root}: no such folder")
        if not root.is_dir():
            raise DataError(f"[data] root = {root}: is a file, not a folder of images")
        train, test = self._split_folders(root)
        if not held_out or self._training is None:
            self._training = self._list(train)
        training = self._training
        classes = [name for name in training.subfolders if name not in _UNLABELLED]
        if self.config.labelled is False:
            classes = []
        if not held_out:
            listings = [training, *(self._list(path) for path in _unlabelled_folders(root, train))]
        elif test is None:
            return None
        else:
            listings = [self._list(test, training)]
            _require_class_folders(listings[0], training, classes)
        if not any(listing.paths for listing in listings):
            raise DataError(_no_images_message(listings[0]))
        folder = listings[0].folder if len(listings) == 1 else root
        paths = [path for listing in listings for path in listing.paths]
        images = FileImages(paths, channels=self.channels, root=folder)
        labels = None
        if classes:
            labels = [label for listing in listings for label in _labels(listing, training)]
        notes = [note for listing in listings for note in listing.notes()]
        return Records(images, labels, classes or None, str(folder), notes)

    def _split_folders(self, root: Path) -> tuple[Path, Path | None]:
        """Return the folder of the training images and that of the held-out images, or None."""
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        held_out = [name for name in _HELD_OUT if name in names]
        if "train" in names:
            return root / "train", root / held_out[0] if held_out else None
        # Other spellings, such as Train and Test, count only together: one may be a class.
        words = {self.split_word(name): name for name in reversed(names)}
        test = words.get("val", words.get("test"))
        if "train" in words and test is not None:
            return root / words["train"], root / test
        return root, None

    def _list(self, folder: Path, training: ImageListing | None = None) -> ImageListing:
        """Return the images in a folder; ``training`` is set if they are held out."""
        known = None if training is None else training.folders
        return list_images(folder, self.excluded, known, self.progress)


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
    return [root / n for n in _UNLABELLED if train != root and (root / n).is_dir()]


def _labels(listing: ImageListing, training: ImageListing) -> Iterator[str | None]:
    """Yield the class name of each image, or None for an image without a label."""
    is_labelled = listing.folder.name not in _UNLABELLED or listing is training
    for name, count in listing.groups:
        label = name if is_labelled and name and name not in _UNLABELLED else None
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

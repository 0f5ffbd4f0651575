"""Images as files or their bytes, of any format and state that people's data may hold."""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from ssl_host.contracts.data import ImageDataset, UnreadableImage
from ssl_host.errors import SslHostError
from ssl_host.toolkit.atomic_io import affects_all_files, is_disk_error

LONGEST = 8
"""Times the short side, that of the long side which is looked at to cut out the centre."""

LARGEST_SIDE = 20_000
"""Pixels; a larger image is refused before it is decoded, for it would take gigabytes."""


class FileImages(ImageDataset):
    """Image files, decoded when read.

    Args:
        paths: the files.
        labels: N, int64, or None.
        classes: names in the order of the labels.
        channels: 3 converts everything to RGB, 1 to gray.
        root: folder that names in messages are relative to.
    """

    suffixes: ClassVar[tuple[str, ...]] = (
        ".jpg",
        ".jpeg",
        ".png",
        ".bmp",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
    )
    """Endings of the file names that are taken for images."""

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Tensor | None = None,
        classes: tuple[str, ...] = (),
        channels: int = 3,
        root: Path | None = None,
    ) -> None:
        self.paths = list(paths)
        self.labels = labels
        self.classes = classes
        self.channels = channels
        self.root = root

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        path = self.paths[i]
        within = self.root is not None and path.is_relative_to(self.root)
        return readable(str(path.relative_to(self.root) if self.root and within else path))

    def path(self, i: int) -> Path:
        return self.paths[i]

    def read(self, i: int) -> Tensor:
        return read_image(self.paths[i], self.channels)


def readable(name: str) -> str:
    """A file's name as text: Linux's names are bytes, and those that are no UTF-8 are escaped."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


class EncodedImages(ImageDataset):
    """Images that lie encoded in larger files, such as shards, and are decoded when read.

    A subclass says how many there are, what they are called, which file each is in
    (:meth:`~ssl_host.ImageDataset.path`), and gives their bytes. It is read by several threads at
    once, and copied into worker processes: open files belong to one process and are no attribute.

    Attributes:
        channels: 3 converts everything to RGB, 1 to gray.
    """

    channels: int = 3

    @abstractmethod
    def encoded(self, i: int) -> bytes:
        """Image ``i`` as the bytes of an image file, in any format that Pillow reads.

        Raises:
            UnreadableImage: with the reason, in a few words; an OSError is turned into one.
        """

    def read(self, i: int) -> Tensor:
        try:
            content = self.encoded(i)
        except OSError as error:
            if affects_all_files(error):
                raise
            reason = f"cannot be read: {error.strerror or error}"
            raise UnreadableImage(reason, is_disk_error(error)) from None
        return read_image(content, self.channels)


def read_image(source: Path | bytes, channels: int = 3) -> Tensor:
    """A file, or what is in one, as uint8 C H W: first frame, turned as its EXIF data say, 16 bits
    scaled to 8.

    Raises:
        UnreadableImage: for whatever is wrong with it, in a few words.
        OSError: when nothing can be read there any more, whatever the file.
    """
    try:
        with warnings.catch_warnings():
            # Only sizes beyond LARGEST_SIDE are refused, and by the check below.
            warnings.simplefilter("ignore")
            return _decode(source, channels)
    except (UnreadableImage, SslHostError):  # the end that a signal asks for among them
        raise
    except FileNotFoundError:
        raise UnreadableImage("the file is gone") from None
    except PermissionError:
        raise UnreadableImage("no permission to read it") from None
    except MemoryError:
        raise UnreadableImage("there is not enough memory to decode it", transient=True) from None
    except Exception as error:  # Pillow's decoders raise a dozen types, SyntaxError among them
        if isinstance(error, OSError) and affects_all_files(error):
            raise
        if _is_empty(source):
            raise UnreadableImage("the file is empty") from None
        text = re.sub(r"<_io\.BytesIO object at 0x[0-9a-f]+>", "it", str(error))
        if isinstance(source, Path):
            text = text.replace(f"'{source}'", "it").replace(str(source), "it")
        reason = f"cannot be decoded: {text or type(error).__name__}"
        raise UnreadableImage(reason, is_disk_error(error)) from None


def _is_empty(source: Path | bytes) -> bool:
    if isinstance(source, Path):
        return source.exists() and source.stat().st_size == 0
    return not source


def _decode(source: Path | bytes, channels: int) -> Tensor:
    if isinstance(source, Path):
        _require_file(source)
    # For good: threads decode at once, and one would put back what another has taken away.
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
        if max(image.size) > LARGEST_SIDE:
            width, height = image.size
            raise UnreadableImage(
                f"is {width} x {height} pixels, and {LARGEST_SIDE} a side is the limit"
            )
        image.seek(0)
        image.load()
        upright = ImageOps.exif_transpose(image) or image
        return _to_tensor(upright, channels)


def _require_file(path: Path) -> None:
    """Opening a pipe waits for whoever writes to it, for ever."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):  # a source names a folder as an image where it could not look into it
        raise UnreadableImage("no permission to list this folder")
    if not stat.S_ISREG(mode):
        raise UnreadableImage("is no file but a pipe, a socket or a device")


def _to_tensor(image: Image.Image, channels: int) -> Tensor:
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits: Pillow would clip them to 255
        values = np.nan_to_num(np.asarray(image, dtype=np.float32))
        top = 65535.0
        if image.mode == "F":  # nothing in the file says of which of these it is a part
            top = next((t for t in (1.0, 255.0) if values.max(initial=0) <= t), top)
        image = Image.fromarray(np.rint(np.clip(values * (255.0 / top), 0, 255)).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "P") and "transparency" in image.info:
        image = image.convert("RGBA")
    array = np.array(image.convert("L" if channels == 1 else "RGB"))
    if array.size == 0:
        raise UnreadableImage("has no pixels")
    return torch.from_numpy(array.reshape(*array.shape[:2], channels)).permute(2, 0, 1)


def resize_and_crop(image: Tensor, size: int) -> Tensor:
    """C H W, uint8, to C ``size`` ``size``, as packed images are made.

    The short side is resized, antialiased bicubic, then the centre is cut out. Of a strip only
    the middle is resized: its whole length can take gigabytes.
    """
    for side in (1, 2):
        longest = LONGEST * min(image.shape[1:])
        if image.shape[side] > longest:
            image = image.narrow(side, (image.shape[side] - longest) // 2, longest)
    _, height, width = image.shape
    scale = size / min(height, width)
    high, wide = max(size, round(height * scale)), max(size, round(width * scale))
    if (high, wide) != (height, width):
        image = functional.interpolate(
            image[None], size=(high, wide), mode="bicubic", antialias=True
        )[0]
    top, left = (high - size) // 2, (wide - size) // 2
    return image[:, top : top + size, left : left + size]

"""Datasets of image files or encoded images, in any format that Pillow can read."""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from ssl_host.contracts.data import ImageDataset, ImageHeader, UnreadableImage
from ssl_host.errors import SslHostError
from ssl_host.toolkit.atomic_io import affects_all_files, is_disk_error
from ssl_host.toolkit.path_list import PathList
from ssl_host.toolkit.pixel_values import (
    ValueRange,
    decode_deep_colours,
    decoded_range,
    default_range,
    has_lost_bits,
    require_values_in,
    scale_values,
)

# Pillow warns about odd metadata. The filter is set once, because several threads decode images,
# and one that restores the filters may do so after another has changed them.
warnings.filterwarnings("ignore", module=r"PIL\.")

LARGEST_SIDE = 20_000
"""Largest side in pixels; larger images would take gigabytes and are not decoded."""


TRANSPOSED = (5, 6, 7, 8)
"""Orientations in EXIF data that swap height and width."""


class FileImages(ImageDataset):
    """Dataset of image files that are decoded when they are read.

    Args:
        paths: paths of the image files.
        labels: class indices, shape (N,), int64; None if there are no labels.
        classes: class names in the order of the class indices.
        channels: 3 converts all images to RGB, 1 to grayscale.
        root: folder to which image names in messages are relative; None for full paths.
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
    """File name suffixes of images, in lower case."""

    def __init__(
        self,
        paths: Iterable[str | Path],
        labels: Tensor | None = None,
        classes: tuple[str, ...] = (),
        channels: int = 3,
        root: Path | None = None,
    ) -> None:
        self.paths = PathList(paths)
        self.labels = labels
        self.classes = classes
        self.channels = channels
        self.root = root
        self._prefix = "" if root is None else f"{str(root).rstrip(os.sep)}{os.sep}"

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        return escape_name(self.paths[i].removeprefix(self._prefix))

    def path(self, i: int) -> str:
        return self.paths[i]

    def read(self, i: int) -> Tensor:
        return read_image(Path(self.paths[i]), self.channels, self.value_range)

    def header(self, i: int) -> ImageHeader:
        return read_header(Path(self.paths[i]))


def escape_name(name: str) -> str:
    """Return a file name as valid Unicode; bytes that are not UTF-8 are escaped."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


class EncodedImages(ImageDataset):
    """Base class of datasets whose encoded images are inside larger files, such as shards.

    A subclass defines the number of images, their names, their files
    (:meth:`~ssl_host.ImageDataset.path`) and their bytes. Do not keep open files as attributes:
    several threads read the dataset at once, and it is copied into worker processes.

    Attributes:
        channels: 3 converts all images to RGB, 1 to grayscale.
    """

    channels: int = 3

    @abstractmethod
    def encoded(self, i: int) -> bytes:
        """Return the bytes of image ``i``, in any file format that Pillow can read.

        Raises:
            UnreadableImage: when the image cannot be read. You may also raise an OSError, which
                :meth:`read` converts.
        """

    def read(self, i: int) -> Tensor:
        return read_image(self._content(i), self.channels, self.value_range)

    def header(self, i: int) -> ImageHeader:
        return read_header(self._content(i))

    def _content(self, i: int) -> bytes:
        """Return the bytes of image ``i``; an OSError becomes an UnreadableImage."""
        try:
            return self.encoded(i)
        except OSError as error:
            if affects_all_files(error):
                raise
            reason = f"cannot be read: {error.strerror or error}"
            raise UnreadableImage(reason, is_disk_error(error)) from None


def read_image(
    source: Path | bytes, channels: int = 3, value_range: ValueRange | None = None
) -> Tensor:
    """Decode an image from a file or from bytes to a uint8 tensor (C, H, W).

    Only the first frame of an animation is read. The image is rotated according to its EXIF data.
    Transparent pixels become white.
    Values of more than 8 bits are scaled: unless ``value_range`` is given, 0 becomes black, and
    65535 (16 bits), 4095 (12 bits) or 1 (floating-point numbers) becomes white.

    Args:
        source: path of a file, or the bytes of a file.
        channels: 3 for RGB, 1 for grayscale.
        value_range: values that become 0 and 255; None for the range of the file's type.

    Raises:
        UnreadableImage: when the image cannot be read or decoded, or has values outside the range
            of its type.
        OSError: when a disk error affects all files and not only this one.
    """
    with _reading(source):
        return _decode(source, channels, value_range)


def read_header(source: Path | bytes) -> ImageHeader:
    """Return the size of an image in a file or in bytes; most formats need no decoding.

    Args:
        source: path of a file, or the bytes of a file.

    Raises:
        UnreadableImage: when the image cannot be read.
        OSError: when a disk error affects all files and not only this one.
    """
    with _reading(source), _open(source) as image:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        width, height = image.size
        if orientation in TRANSPOSED:
            width, height = height, width
        return ImageHeader(height, width, orientation if orientation in range(1, 9) else 1)


@contextmanager
def _reading(source: Path | bytes) -> Iterator[None]:
    """Convert Pillow's exceptions as :func:`read_image` describes."""
    try:
        yield
    except (UnreadableImage, SslHostError):  # SslHostError includes Preempted, raised by signals
        raise
    except FileNotFoundError:
        raise UnreadableImage("there is no such file") from None
    except PermissionError:
        raise UnreadableImage("no permission to read it") from None
    except MemoryError:
        raise UnreadableImage("not enough memory to decode it", transient=True) from None
    except Exception as error:  # Pillow's decoders raise a dozen types, even SyntaxError
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
    """Return True if a file, given as a path or as bytes, is empty."""
    if isinstance(source, Path):
        return source.exists() and source.stat().st_size == 0
    return not source


def _decode(source: Path | bytes, channels: int, value_range: ValueRange | None) -> Tensor:
    """Decode an image as :func:`read_image` does, without converting Pillow's exceptions.

    Raises:
        UnreadableImage: when the image is too large or has values outside the range of its type.
        Exception: one of Pillow's exceptions, when the image cannot be decoded.
    """
    with _open(source) as image:
        image.seek(0)
        used_range = default_range(image) if image.mode.startswith(("I", "F")) else None
        if value_range is not None:
            if has_lost_bits(image):
                content = source.read_bytes() if isinstance(source, Path) else source
                return _to_tensor(decode_deep_colours(image, content, value_range), channels, None)
            used_range = decoded_range(image, value_range)
        image.load()
        if value_range is None and used_range is not None:
            require_values_in(used_range, np.asarray(image))
        upright = ImageOps.exif_transpose(image) or image
        return _to_tensor(upright, channels, used_range)


@contextmanager
def _open(source: Path | bytes) -> Iterator[Image.Image]:
    """Open an image without decoding it, if it is not too large."""
    if isinstance(source, Path):
        _require_file(source)
    # Set once and not restored, because several threads decode at the same time.
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
        if max(image.size) > LARGEST_SIDE:
            width, height = image.size
            raise UnreadableImage(
                f"{width} x {height} pixels, but the limit is {LARGEST_SIDE} per side"
            )
        yield image


def _require_file(path: Path) -> None:
    """Raise UnreadableImage unless a path is a regular file; opening a pipe would block."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):  # sources treat a folder that they may not list as an image
        raise UnreadableImage("no permission to list this folder")
    if not stat.S_ISREG(mode):
        raise UnreadableImage("not a regular file but a pipe, a socket or a device")


def _to_tensor(image: Image.Image, channels: int, value_range: ValueRange | None) -> Tensor:
    """Return a Pillow image as a uint8 tensor (C, H, W) with 1 or 3 channels.

    Args:
        image: the loaded image, upright.
        channels: 3 for RGB, 1 for grayscale.
        value_range: values that become 0 and 255; None to keep 8-bit values.

    Raises:
        UnreadableImage: when the image has no pixels.
    """
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits: Pillow would clip them to 255
        assert value_range is not None
        image = Image.fromarray(scale_values(np.asarray(image), value_range))
        value_range = None
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        # The colours of transparent pixels are arbitrary, often black as the picture itself.
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    array = np.array(image.convert("L" if channels == 1 else "RGB"))
    if array.size == 0:
        raise UnreadableImage("the image has no pixels")
    if value_range is not None:
        array = scale_values(array, value_range)
    return torch.from_numpy(array.reshape(*array.shape[:2], channels)).permute(2, 0, 1)

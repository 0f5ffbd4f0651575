"""Import the optional package ffcv, which compiles C++ code when it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from ssl_host import UserError

SYSTEM_PACKAGES = "pkg-config libopencv-dev libturbojpeg0-dev"
"""Packages of Debian and Ubuntu that are needed to compile ffcv."""

INSTALL_HINT = f"`apt-get install {SYSTEM_PACKAGES}`, then `pip install ffcv`"


@dataclass(frozen=True)
class Library:
    """Classes and functions of ffcv that this plugin uses.

    Attributes:
        version: version of ffcv.
        writer: ``DatasetWriter``.
        allocator: ``MemoryAllocator`` of the writer.
        image_field: ``RGBImageField``.
        int_field: ``IntField``.
        raw_mode: number that marks an uncompressed image in a file.
        reader: ``Reader`` of the header and the tables of a file.
        imdecode: libffcv's JPEG decoder, which releases the GIL.
        split: OpenCV's function that splits an array (H, W, C) into C arrays (H, W); it also
            releases the GIL.
    """

    version: str
    writer: Any
    allocator: Any
    image_field: Any
    int_field: Any
    raw_mode: int
    reader: Any
    imdecode: Any
    split: Any


@lru_cache(maxsize=1)
def library() -> Library:
    """Import ffcv once, and return the classes and functions that this plugin uses.

    Raises:
        UserError: when ffcv or a system library is missing; the message says what to install.
    """
    try:
        import ffcv  # noqa: F401, PLC0415 - optional
        from ffcv.fields.basics import IntField  # noqa: PLC0415
        from ffcv.fields.rgb_image import IMAGE_MODES, RGBImageField  # noqa: PLC0415
        from ffcv.libffcv import imdecode  # noqa: PLC0415
        from ffcv.memory_allocator import MemoryAllocator  # noqa: PLC0415
        from ffcv.reader import Reader  # noqa: PLC0415
        from ffcv.writer import DatasetWriter  # noqa: PLC0415
    except MemoryError:
        raise
    except Exception as error:  # numba and cv2 raise more than ImportError
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == "ffcv"
        reason = "" if is_missing else f", which cannot be imported ({_first_line(error)})"
        raise UserError(
            f"packed images need the package ffcv{reason}; install it with {INSTALL_HINT}"
        ) from None
    import cv2  # noqa: PLC0415 - already imported by ffcv

    return Library(
        version=version("ffcv"),  # ffcv.__version__ is outdated
        writer=DatasetWriter,
        allocator=MemoryAllocator,
        image_field=RGBImageField,
        int_field=IntField,
        raw_mode=int(IMAGE_MODES["raw"]),
        reader=Reader,
        imdecode=imdecode,
        split=cv2.split,
    )


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]

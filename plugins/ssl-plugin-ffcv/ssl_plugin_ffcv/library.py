"""The package ffcv, which may be missing: its C++ is compiled when it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from ssl_host import UserError

SYSTEM_PACKAGES = "pkg-config libopencv-dev libturbojpeg0-dev"
"""What ffcv's C++ is compiled with, as Debian and Ubuntu call it."""

REMEDY = f"`apt-get install {SYSTEM_PACKAGES}`, then `pip install ffcv`"


@dataclass(frozen=True)
class Library:
    """What this plugin uses of ffcv.

    Attributes:
        version: of the package.
        writer, allocator: ``DatasetWriter`` and the ``MemoryAllocator`` of its workers.
        image_field, int_field: the two fields of a record.
        raw_mode: how the file marks an image that is not compressed.
        reader: ``Reader``, of a file's header and tables.
        imdecode: libffcv's JPEG decoder; like the next, a call that lets other threads run.
        split: of OpenCV, which ffcv comes with: H W C to its C channels H W.
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
    """ffcv, imported when first needed.

    Raises:
        UserError: when it is not installed, or a library of the system is missing; it says what
            to install.
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
    except Exception as error:  # numba and cv2 raise others than ImportError
        missing = isinstance(error, ModuleNotFoundError) and error.name == "ffcv"
        found = "" if missing else f", which cannot be imported here ({_first_line(error)})"
        raise UserError(f"packed images need the package ffcv{found}: {REMEDY}") from None
    import cv2  # noqa: PLC0415 - ffcv has imported it already

    return Library(
        version=version("ffcv"),  # ffcv.__version__ is that of an older release
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
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Convert stored pixel values to 8 bits, including formats that Pillow truncates."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from ssl_host.contracts.data import UnreadableImage

ValueRange = tuple[float, float]
"""Values, as stored in a file, that become 0 and 255."""

_ORIENTATION = 0x0112
"""EXIF tag that says how an image is rotated."""
_FLOAT_TOP, _INTEGER_TOP, _TWELVE_BIT_TOP = 1.0, 65535.0, 4095.0
"""Values that become white if no range is given; files do not store the range of their values."""
_ROUNDING = 0.001
"""Share of the range by which values may exceed it, because of rounding."""


def scale_values(values: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """Return values mapped from a range to 0 to 255, as uint8; others are clipped.

    Args:
        values: array of numbers of any type.
        value_range: values that become 0 and 255.
    """
    low, high = value_range
    scaled = (values.astype(np.float32) - low) * (255.0 / (high - low))
    pixels: np.ndarray = np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)
    return pixels


def decoded_range(image: Image.Image, value_range: ValueRange) -> ValueRange:
    """Convert a range of stored values to the values that Pillow decodes them to.

    Pillow scales files with less than 8 bits, and PPM and PGM files with an unusual maximum, to
    the full range of 8 or 16 bits.

    Args:
        image: the opened image, before it is loaded.
        value_range: the range of the values in the file.
    """
    low, high = value_range
    factor = 1.0
    if image.mode == "1":
        factor = 255.0
    elif image.format == "PPM" and image.mode != "F":
        factor = (65535 if image.mode == "I" else 255) / _ppm_maximum(image)
    elif bits := re.match(r"L;([124])", _raw_mode(image)):
        factor = 255 / (2 ** int(bits[1]) - 1)
    return low * factor, high * factor


def default_range(image: Image.Image) -> ValueRange:
    """Return the default black and white values of an image with more than 8 bits.

    The range depends only on the type of the file: otherwise images of one dataset would be
    scaled differently.

    Args:
        image: the opened image of mode ``I`` or ``F``, before it is loaded.
    """
    if image.mode == "F":
        return 0.0, _FLOAT_TOP
    return 0.0, _TWELVE_BIT_TOP if _raw_mode(image).startswith("I;12") else _INTEGER_TOP


def require_values_in(value_range: ValueRange, values: np.ndarray) -> None:
    """Raise UnreadableImage if an image has finite values outside the range of its file type."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return
    low, high = float(finite.min()), float(finite.max())
    margin = (value_range[1] - value_range[0]) * _ROUNDING
    if low < value_range[0] - margin or high > value_range[1] + margin:
        raise UnreadableImage(
            f"its values range from {low:g} to {high:g}, but for files of this type "
            f"{value_range[0]:g} is black and {value_range[1]:g} is white; set [data] value_range "
            "to the values of black and white"
        )


def has_lost_bits(image: Image.Image) -> bool:
    """Return True if Pillow keeps only 8 bits of a 16-bit image with several channels.

    Args:
        image: the opened image, before it is loaded.
    """
    if image.mode.startswith(("I", "F")):
        return False
    if image.format == "PPM":
        return image.mode == "RGB" and _ppm_maximum(image) > 255
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", []))


def decode_deep_colours(image: Image.Image, content: bytes, value_range: ValueRange) -> Image.Image:
    """Decode an image with 16 bits and several channels, scaled to 8 bits and upright.

    Args:
        image: the image, opened with Pillow.
        content: the bytes of its file.
        value_range: the stored values that become 0 and 255.

    Raises:
        UnreadableImage: when this is not possible for files of this format.
    """
    if image.format == "PNG":
        values = _decode_deep_png(content)
    elif image.format == "PPM":
        values = _decode_deep_ppm(image, content)
    else:
        raise UnreadableImage(
            f"[data] value_range cannot be used for 16-bit colours in {image.format} files, of "
            "which only 8 bits can be decoded; convert the images to PNG"
        )
    array = scale_values(values, value_range)
    scaled = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    orientation = image.getexif().get(_ORIENTATION)
    if orientation is not None:
        scaled.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(scaled) or scaled


def _decode_deep_png(content: bytes) -> np.ndarray:
    """Return the values (H, W, C) of a PNG, without transparency."""
    from torchvision.io import decode_png  # noqa: PLC0415 - needed for few files

    pixels = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    # Releases of torchvision before 0.20 also keep only 8 bits.
    pixels = pixels.to(torch.int32) * (257 if pixels.dtype == torch.uint8 else 1)
    values: np.ndarray = pixels[: 1 if len(pixels) < 3 else 3].permute(1, 2, 0).numpy()
    return values


def _decode_deep_ppm(image: Image.Image, content: bytes) -> np.ndarray:
    """Return the values (H, W, 3) of a PPM file with binary or text numbers."""
    decoder, _, offset, _ = _tiles(image)[0]
    width, height = image.size
    count = height * width * 3
    if decoder == "ppm_plain":
        values = np.array(content[offset:].split()[:count], dtype=np.int32)
    else:
        values = np.frombuffer(content, dtype=">u2", count=count, offset=offset)
    return values.reshape(height, width, 3)


def _ppm_maximum(image: Image.Image) -> int:
    """Return the value that is white in a PPM or PGM file."""
    arguments = _tiles(image)[0][3]
    if isinstance(arguments, tuple):  # the decoder scales the values
        return int(arguments[1])
    return 65535 if image.mode == "I" else 255


def _raw_mode(image: Image.Image) -> str:
    """Return Pillow's name of a file's pixel format, such as ``I;16B``; empty if unknown."""
    arguments = _tiles(image)[0][3] if _tiles(image) else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _tiles(image: Image.Image) -> list[Any]:
    """Return Pillow's list of (decoder, box, offset, arguments) for an opened image."""
    tiles: list[Any] = getattr(image, "tile", [])
    return tiles

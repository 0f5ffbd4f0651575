"""Show the description of a data set in the terminal and as an HTML page."""

from __future__ import annotations

import base64
import io

from PIL import Image
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from ssl_host import ImageDataset, evenly_spaced_indices, render_page
from ssl_plugin_init.description import DataDescription, Spread
from ssl_plugin_init.findings import findings
from ssl_plugin_init.image_statistics import ImageStatistics

MAX_PICTURES = 48
"""Number of images on the page."""
PICTURE_SIDE = 96
"""Longer side of a picture on the page, in pixels."""
MAX_CLASSES = 12
"""Number of classes that are listed with their counts."""
BINS = 16
"""Number of bars in a histogram."""


def rows(data: DataDescription) -> dict[str, str]:
    """Return the description as texts by heading."""
    rows = {"source": data.source, "images": _images(data)}
    if data.num_read < data.num_images + (data.num_test or 0):
        rows["read"] = f"{data.num_read:,}, evenly spaced; the rest follows from these"
    if data.widths and data.heights and data.ratios:
        rows["width"] = _format(data.widths, "pixels")
        rows["height"] = _format(data.heights, "pixels")
        rows["long by short side"] = _format(data.ratios, digits=2)
        rows["colours"] = _colours(data)
    if data.brightness and data.contrast:
        rows["brightness"] = _format(data.brightness, "of 255")
        rows["contrast"] = _format(data.contrast, "(standard deviation of the pixels)")
    if data.classes:
        rows["classes"] = _classes(data)
    return rows


def description_table(data: DataDescription) -> Table:
    """Return the description and what is noteworthy as a table for the terminal."""
    table = Table("data", "", box=None, pad_edge=False)
    for name, text in rows(data).items():
        table.add_row(name, text)
    for text in data.notes:
        table.add_row("note", text)
    for text in findings(data):
        table.add_row("finding", text)
    return table


def description_page(
    data: DataDescription, read: list[tuple[ImageDataset, ImageStatistics]], title: str
) -> str:
    """Return an HTML page with the description, a sample of images, and duplicates.

    Args:
        data: the description.
        read: each image that was read, with the data set that contains it.
        title: heading of the page.
    """
    good = [(images, found) for images, found in read if found.error is None]
    sample = [good[i] for i in evenly_spaced_indices(len(good), MAX_PICTURES).tolist()]
    return render_page(
        "ssl_plugin_init",
        "describe.html",
        title=title,
        data=data,
        rows=rows(data),
        findings=findings(data),
        pictures=[(images.name(s.index), _picture(images.read(s.index))) for images, s in sample],
        histograms={
            "shorter side (pixels)": _histogram([min(s.width, s.height) for _, s in good]),
            "brightness (0 to 255)": _histogram([s.brightness for _, s in good]),
            "contrast": _histogram([s.contrast for _, s in good]),
        },
    )


def _images(data: DataDescription) -> str:
    """Return the numbers of training and held-out images as text."""
    text = f"{data.num_images:,} for training"
    if data.num_test is None:
        return f"{text}, none held out"
    origin = "by the data set" if data.has_own_test else "at random"
    return f"{text}, {data.num_test:,} held out {origin}"


def _format(spread: Spread, unit: str = "", digits: int = 0) -> str:
    """Return a spread as text, such as ``300 pixels (5 % below 280, 5 % above 310)``."""

    def number(value: float) -> str:
        return f"{value:,.{digits}f}"

    unit = f" {unit}" if unit else ""
    if number(spread.smallest) == number(spread.largest):
        return f"{number(spread.median)}{unit}"
    return (
        f"{number(spread.median)}{unit}, {number(spread.smallest)} to {number(spread.largest)} "
        f"(nine of ten {number(spread.low)} to {number(spread.high)})"
    )


def _colours(data: DataDescription) -> str:
    """Return whether images are gray, and their bits per channel, as text."""
    share = data.gray_fraction
    text = "gray" if share == 1 else "colour" if share == 0 else f"{100 * share:.0f} % gray"
    bits = ", ".join(f"{n} bits: {count:,}" for n, count in sorted(data.bits.items()))
    return f"{text} ({bits})" if bits else text


def _classes(data: DataDescription) -> str:
    """Return the largest classes with their numbers of images as text."""
    shown = [f"{name} {count:,}" for name, count in list(data.classes.items())[:MAX_CLASSES]]
    more = len(data.classes) - len(shown)
    return f"{len(data.classes)}: {', '.join(shown)}" + (f" and {more} more" if more else "")


def _histogram(values: list[float] | list[int]) -> list[tuple[str, int, float]]:
    """Return the bars of a histogram as (range, count, height in per cent of the highest bar)."""
    if not values:
        return []
    low, high = min(values), max(values)
    width = (high - low) / BINS or 1
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - low) / width))] += 1
    return [
        (f"{low + i * width:.0f} to {low + (i + 1) * width:.0f}", n, 100 * n / max(counts))
        for i, n in enumerate(counts)
    ]


def _picture(pixels: Tensor) -> str:
    """Return an image (C, H, W) as a JPEG data URI of at most :data:`PICTURE_SIDE` pixels."""
    scale = min(1.0, PICTURE_SIDE / max(pixels.shape[1:]))
    size = [max(1, round(side * scale)) for side in pixels.shape[1:]]
    small = functional.interpolate(pixels[None].float(), size=size, mode="bilinear", antialias=True)
    array = small[0].clamp(0, 255).byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(buffer, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

"""Reading images from a packed file, compared with decoding the original files."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from comparison import Comparison, SpeedMeasurement, compare, speed_of
from views import draw_photographs

import ssl_host
from ssl_host import UserError, resize_to_square

NUM_IMAGES, BATCH_SIZE, IMAGE_SIZE, NUM_THREADS = 512, 64, 256, 2


def compare_decoding() -> Comparison:
    """Read JPEGs of 500 x 375 packed at 256 pixels, in random order, from the page cache."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(NUM_THREADS) as pool:
        root = Path(folder) / "photographs"
        draw_photographs(root, NUM_IMAGES)
        files = ssl_host.build("data", "imagefolder", root=root).open("train")

        def read_files(batch: torch.Tensor) -> torch.Tensor:
            images = pool.map(lambda i: resize_to_square(files.read(i), IMAGE_SIZE), batch.tolist())
            return torch.stack(list(images))

        def packed(name: str, *compression: str) -> SpeedMeasurement:
            out = Path(folder) / f"{name}.beton"
            pack(root, out, *compression)
            source = ssl_host.build("data", "ffcv", path=out, num_threads=NUM_THREADS)
            return speed_of_passes(source.open("train").read_many)

        return compare(
            f"images of {IMAGE_SIZE} px out of a file packed by ffcv, {NUM_THREADS} threads",
            {
                "JPEG 90": packed("jpeg", "--quality", "90"),
                "pillow, JPEGs of 500 px decoded and fitted": speed_of_passes(read_files),
                "the same file without compression": packed("raw", "--raw"),
            },
            {},
        )


def speed_of_passes(read: Callable[[torch.Tensor], object]) -> SpeedMeasurement:
    """Return a measurement that reads all images once, each time in another order."""
    seeds = itertools.count()

    def read_all() -> int:
        generator = torch.Generator().manual_seed(next(seeds))
        for batch in torch.randperm(NUM_IMAGES, generator=generator).split(BATCH_SIZE):
            read(batch)
        return NUM_IMAGES

    return speed_of(read_all)


def pack(root: Path, out: Path, *compression: str) -> None:
    """Pack a folder of images with ``ssl-host data pack``.

    Raises:
        UserError: if the command fails, for example because ffcv is not installed.
    """
    command = [sys.executable, "-m", "ssl_host", "data", "pack", str(root), str(out)]
    options = ["--size", str(IMAGE_SIZE), "--workers", str(NUM_THREADS), *compression]
    process = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if process.returncode != 0:
        raise UserError(process.stderr.strip())

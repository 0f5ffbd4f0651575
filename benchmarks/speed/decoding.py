"""Images a second out of a packed file, against decoding the files that it was packed from.

``python benchmarks/speed/decoding.py`` writes JPEGs of 500 x 375 pixels, packs
them at 256, and reads them in batches of 64 in random order with two threads; a minute on two
cores. Both sides come from the system's page cache.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from ssl_plugin_ffcv.library import library
from ssl_plugin_ffcv.packing import Wanted, pack
from views import draw_photographs

import ssl_host
from ssl_host import fit_image

COUNT, BATCH, SIDE, THREADS, ROUNDS = 512, 64, 256, 2, 5


def rate(read: Callable[[torch.Tensor], object]) -> float:
    """Images a second, the median of some rounds after one that is not counted."""
    found = []
    for number in range(ROUNDS + 1):
        order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(number))
        start = time.perf_counter()
        for batch in order.split(BATCH):
            read(batch)
        found.append(COUNT / (time.perf_counter() - start))
    return statistics.median(found[1:])


def main() -> None:
    torch.set_num_threads(1)
    tell = sys.stdout.write
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "photographs"
        draw_photographs(root, COUNT)
        files = ssl_host.build("data", "imagefolder", root=root).open("train")
        original = sum(path.stat().st_size for path in root.iterdir())
        tell(f"{COUNT} files of 500 x 375: {original / COUNT / 1024:.0f} KB an image\n")
        with ThreadPoolExecutor(THREADS) as pool:

            def pillow(batch: torch.Tensor) -> object:
                return list(pool.map(files.read, batch.tolist()))

            def fitted(batch: torch.Tensor) -> object:
                read = pool.map(lambda i: fit_image(files.read(i), SIDE), batch.tolist())
                return torch.stack(list(read))

            tell(f"pillow, the files decoded: {rate(pillow):.0f} images/s\n")
            tell(f"pillow, decoded and fitted to {SIDE}: {rate(fitted):.0f} images/s\n")
        library()  # its import takes two seconds
        for name, quality in (("JPEG 90", 90), ("raw", None)):
            out = Path(place) / f"{name}.beton"
            wanted = Wanted("imagefolder", {"root": str(root)}, SIDE, quality, THREADS)
            start = time.perf_counter()
            about = pack(out, wanted)
            packed = COUNT / (time.perf_counter() - start)
            size = about.splits["train"].bytes / COUNT / 1024
            source = ssl_host.build("data", "ffcv", path=out, num_threads=THREADS)
            images = source.open("train")
            tell(
                f"ffcv, {name} of {SIDE}: {rate(images.read_many):.0f} images/s, "
                f"{size:.0f} KB an image, packed at {packed:.0f} images/s\n"
            )


if __name__ == "__main__":
    main()

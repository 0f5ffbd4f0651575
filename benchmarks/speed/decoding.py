"""Images out of a packed file, against decoding the files that it was packed from."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from sides import Comparison, Speed, clocked, compare
from views import draw_photographs

import ssl_host
from ssl_host import resize_and_crop

COUNT, BATCH, SIDE, THREADS = 512, 64, 256, 2


def decoding() -> Comparison:
    """JPEGs of 500 x 375 packed at 256; batches in random order, all in the page cache."""
    from ssl_plugin_ffcv.packing import Wanted, pack

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(THREADS) as pool:
        root = Path(place) / "photographs"
        draw_photographs(root, COUNT)
        files = ssl_host.build("data", "imagefolder", root=root).open("train")

        def fitted(batch: torch.Tensor) -> torch.Tensor:
            read = pool.map(lambda i: resize_and_crop(files.read(i), SIDE), batch.tolist())
            return torch.stack(list(read))

        def packed(name: str, quality: int | None) -> Speed:
            out = Path(place) / f"{name}.beton"
            pack(out, Wanted("imagefolder", {"root": str(root)}, SIDE, quality, THREADS))
            source = ssl_host.build("data", "ffcv", path=out, num_threads=THREADS)
            return passes(source.open("train").read_many)

        return compare(
            f"images of {SIDE} px out of a file packed by ffcv, {THREADS} threads",
            {
                "JPEG 90": packed("jpeg", 90),
                "pillow, JPEGs of 500 px decoded and fitted": passes(fitted),
                "the same file without compression": packed("raw", None),
            },
            {},
        )


def passes(read: Callable[[torch.Tensor], object]) -> Speed:
    """Whole passes, each in an order of its own."""
    seeds = itertools.count()

    def once() -> int:
        order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(next(seeds)))
        for batch in order.split(BATCH):
            read(batch)
        return COUNT

    return clocked(once)

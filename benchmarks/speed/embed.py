"""Memory of ``ssl-host embed`` for many images, and its speed against the backbone alone.

    python benchmarks/speed/embed.py --counts 10000 100000

Memory is that of a process of its own for each count, with a small network, because memory does not
depend on the speed. Speed is that of a network that takes longer than decoding an image; both are
measured in turns, because other programs may need the processor at times.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

import ssl_host
from ssl_host import DataSource

NUM_DISTINCT, PIXELS, SHARD_SIZE = 500, 32, 10_000
BATCH_SIZE = 256


def write_shards(folder: Path, count: int) -> None:
    """Write tar shards of small JPEGs; the same 500 images are repeated under different names."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (NUM_DISTINCT, PIXELS, PIXELS, 3), dtype=np.uint8)
    encoded = []
    for pixels in noise:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=80)
        encoded.append(file.getvalue())
    for start in range(0, count, SHARD_SIZE):
        with tarfile.open(folder / f"train-{start:08}.tar", "w") as shard:
            for i in range(start, min(start + SHARD_SIZE, count)):
                content = encoded[i % NUM_DISTINCT]
                entry = tarfile.TarInfo(f"{i:08}.jpg")
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))


def make_backbone(name: str, image_size: int, **settings: object) -> ssl_host.Backbone:
    """Return a network with random weights."""
    torch.manual_seed(0)
    backbone = ssl_host.build("backbone", name, in_channels=3, image_size=image_size, **settings)
    backbone.mean, backbone.std = DataSource.mean, DataSource.std
    return backbone.eval()


def peak_megabytes() -> float:
    """Return the largest amount of memory that this process has had so far (Linux)."""
    status = Path("/proc/self/status").read_text("utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def embed_shards(folder: Path) -> None:
    """Embed all shards of a folder, and print the peak memory before and after as JSON."""
    from ssl_plugin_embed import embed

    backbone = make_backbone("small_conv", PIXELS, width=8)
    with torch.no_grad():
        backbone(torch.zeros(BATCH_SIZE, 3, PIXELS, PIXELS))
    before = peak_megabytes()
    result = embed(folder, backbone, folder.with_name("features.parquet"))
    speed = result.images_per_s
    print(json.dumps({"before": before, "after": peak_megabytes(), "images_per_s": speed}))


def measure_memory(counts: list[int]) -> None:
    """Print the peak memory of embedding each number of images."""
    for count in counts:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent, "shards")
            folder.mkdir()
            write_shards(folder, count)
            command = [sys.executable, __file__, "--shards", str(folder)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            figures = json.loads(done.stdout)
            print(
                f"{count:>9,} images: peak {figures['after']:.0f} MB, of which "
                f"{figures['before']:.0f} MB before the first; {figures['images_per_s']:.0f} "
                "images/s with a small network",
                flush=True,
            )


def measure_speed(count: int, model: str, image_size: int, repeats: int) -> None:
    """Print the images per second of ``embed`` and of the network alone, the median of repeats."""
    from ssl_plugin_embed import embed

    backbone = make_backbone("timm", image_size, model=model)
    views = torch.rand(BATCH_SIZE, 3, image_size, image_size)
    alone, whole, busy_alone, busy_whole = [], [], [], []
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        write_shards(Path(folder), count)
        backbone(views)
        for _ in range(repeats):
            start, busy = time.perf_counter(), time.thread_time()
            for size in views.new_zeros(count).split(BATCH_SIZE):
                backbone(views[: len(size)])
            alone.append(count / (time.perf_counter() - start))
            busy_alone.append((time.thread_time() - busy) / count)
            busy = time.thread_time()
            result = embed(Path(folder), backbone, Path(folder) / "features.npy", fresh=True)
            whole.append(result.images_per_s)
            busy_whole.append((time.thread_time() - busy) / count)
    fast, slow = median(alone), median(whole)
    print(
        f"{model} at {image_size} pixels, {torch.get_num_threads()} threads: {fast:.0f} images/s "
        f"alone, {slow:.0f} images/s with decoding and writing ({slow / fast:.0%})"
    )
    fast, slow = 1000 * median(busy_alone), 1000 * median(busy_whole)
    print(
        f"processor time of the thread with the network, which other programs do not change: "
        f"{fast:.2f} ms per image alone, {slow:.2f} ms in all ({fast / slow:.0%})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--speed-count", type=int, default=2048, help="0 for no speed")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shards", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.shards is not None:
        embed_shards(arguments.shards)
        return
    measure_memory(arguments.counts)
    if arguments.speed_count:
        measure_speed(
            arguments.speed_count, arguments.model, arguments.image_size, arguments.repeats
        )


if __name__ == "__main__":
    main()

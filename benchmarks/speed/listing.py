"""Measure how long a folder with many images takes until it is listed, and until the first step.

    python benchmarks/speed/listing.py [--images 300000] [--classes 1000] [--folder FOLDER]

The images of a class are copies of one PNG of 32 x 32 pixels. torchvision's ``ImageFolder`` and
``[data] name = imagefolder`` list the same folder in turns, and the median of five is printed. Then
``ssl-host run`` and ``--dry-run`` are started with ``[loader] store = files``.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import ImageFolder

import ssl_host

CONFIG = """
[run]
name = listing
dir = runs
epochs = 1
batch_size = 64
[method]
name = simclr
[data]
name = imagefolder
root = {root}
image_size = 32
[loader]
store = files
num_workers = 1
[backbone]
name = small_conv
width = 8
[trainer]
accelerator = cpu
precision = 32-true
num_threads = 1
log_every = 1
[evaluator.rankme]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = Path(folder) / "images"
        write_images(root, arguments.images, arguments.classes)
        times = compare_listing(root)
        for name, seconds in times.items():
            print(f"{name}: {seconds:.2f} s", flush=True)
        print(f"ratio: {times['ssl-host'] / times['torchvision']:.2f}")
        print(f"command to first step: {time_first_step(Path(folder), root):.1f} s", flush=True)
        print(f"dry run: {time_dry_run(Path(folder), root):.1f} s")


def write_images(root: Path, num_images: int, num_classes: int) -> None:
    """Write one image per class and copies of it; hard links would count as one image."""
    rng = np.random.default_rng(0)
    for number in range(num_classes):
        folder = root / f"n{number:08}"
        folder.mkdir(parents=True)
        content = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(content, "png")
        for i in range(num_images // num_classes):
            (folder / f"{i}.png").write_bytes(content.getvalue())


def compare_listing(root: Path) -> dict[str, float]:
    """Return the median time of each library in seconds."""
    cases: dict[str, Callable[[], object]] = {
        "torchvision": lambda: ImageFolder(str(root)),
        "ssl-host": lambda: ssl_host.build("data", "imagefolder", root=root).open("train"),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(5):
        for name, run in cases.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def time_first_step(folder: Path, root: Path) -> float:
    """Return the time from the start of the command to the first row of metrics.csv."""
    config = folder / "config.ini"
    config.write_text(CONFIG.format(root=root), encoding="utf-8")
    table = folder / "runs/listing/metrics.csv"
    start = time.perf_counter()
    command = [sys.executable, "-m", "ssl_host", "run", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        while not (table.exists() and table.read_text(encoding="utf-8").count("\n") > 1):
            if process.poll() is not None:
                sys.exit("the run ended before its first step")
            time.sleep(0.05)
        return time.perf_counter() - start
    finally:
        process.kill()
        process.wait()


def time_dry_run(folder: Path, root: Path) -> float:
    """Return the time of ``ssl-host run --dry-run`` in seconds."""
    config = folder / "config.ini"
    config.write_text(CONFIG.format(root=root), encoding="utf-8")
    start = time.perf_counter()
    command = [sys.executable, "-m", "ssl_host", "run", str(config), "--dry-run"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

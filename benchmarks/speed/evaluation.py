"""Time of the linear evaluation compared with feature extraction, and memory of a long run."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from comparison import ROUNDS, Comparison, compare

import ssl_host
from ssl_host.evaluate.extract import compute_features, network_features

LEARNING_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def compare_linear() -> Comparison:
    """Evaluate 8 rates for 90 epochs on the features of ResNet-18, 10,000 images of 32 pixels."""
    torch.set_num_threads(2)
    backbone = ssl_host.build(
        "backbone", "timm", model="resnet18", stem="cifar", in_channels=3, image_size=32
    ).to(memory_format=torch.channels_last)
    images = torch.randint(0, 256, (10_000, 3, 32, 32), dtype=torch.uint8)

    def prepare(pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.float() / 255).contiguous(memory_format=torch.channels_last)

    def extract() -> torch.Tensor:
        return compute_features(images, {"": network_features(backbone, prepare)})[""]

    x = extract()
    y = torch.arange(10_000) % 10
    bank = ssl_host.FeatureBank(ssl_host.Features(x, y), ssl_host.Features(x[:1000], y[:1000]), 10)
    evaluator = ssl_host.build("evaluator", "linear", learning_rates=LEARNING_RATES)
    evaluator.evaluate(bank)

    def calls_per_second(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return 1 / (time.perf_counter() - start)

    features = "the pass of feature extraction it needs"
    return compare(
        "linear evaluation, 90 epochs, 8 rates, 10,000 images, ResNet-18 at 32 px",
        {
            "ssl-host": lambda: calls_per_second(lambda: evaluator.evaluate(bank)),
            features: lambda: calls_per_second(extract),
        },
        {features: 2},
        unit="a second",
        is_warm=True,
    )


CONFIG = """
[run]
name = memory
epochs = 220
batch_size = 64
[data]
name = synthetic
num_images = 512
image_size = 16
[method]
name = nnclr
queue_size = 128
[backbone]
name = small_conv
width = 8
num_stages = 3
[head.projector]
hidden_dim = 32
output_dim = 16
[head.predictor]
hidden_dim = 32
[checkpoint]
every_epochs = 20
keep = 20
[evaluator.rankme]
"""


def compare_memory() -> Comparison:
    """Measure the resident memory of a run with a queue after 20 epochs and after 200."""
    sizes: dict[int, list[float]] = {20: [], 200: []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "memory.ini"
            file.write_text(CONFIG, encoding="utf-8")
            command = [sys.executable, "-m", "ssl_host", "run", str(file)]
            with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
                for epoch, after_epoch in sizes.items():
                    checkpoint = f"runs/memory/checkpoints/step-{8 * epoch:09d}.ckpt"
                    while not (Path(folder) / checkpoint).exists() and process.poll() is None:
                        time.sleep(0.02)
                    pages = int(Path(f"/proc/{process.pid}/statm").read_text("utf-8").split()[1])
                    after_epoch.append(pages * resource.getpagesize() / 2**20)
                process.kill()
    last = "after 200"
    speeds = {"after 20 epochs": sizes[20], last: sizes[200]}
    return Comparison("memory of a run with a queue", "MiB", speeds, {last: 0.98})

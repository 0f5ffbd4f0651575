"""What evaluation costs beside the features it needs, and whether memory grows."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from sides import ROUNDS, Comparison, compare

import ssl_host
from ssl_host.evaluate.extract import network_features, representations

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def linear() -> Comparison:
    """Row 8: 8 rates, 90 epochs, ResNet-18 at 32 px, 10,000 images."""
    torch.set_num_threads(2)
    backbone = ssl_host.build(
        "backbone", "timm", model="resnet18", stem="cifar", in_channels=3, image_size=32
    ).to(memory_format=torch.channels_last)
    images = torch.randint(0, 256, (10_000, 3, 32, 32), dtype=torch.uint8)

    def prepare(pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.float() / 255).contiguous(memory_format=torch.channels_last)

    def extracted() -> torch.Tensor:
        return representations(images, {"": network_features(backbone, prepare)})[""]

    found = extracted()
    y = torch.arange(10_000) % 10
    bank = ssl_host.FeatureBank(
        ssl_host.Features(found, y), ssl_host.Features(found[:1000], y[:1000]), 10
    )
    evaluator = ssl_host.build("evaluator", "linear", learning_rates=RATES)
    evaluator.evaluate(bank)

    def seconds(work: object) -> float:
        begun = time.perf_counter()
        work()
        return 1 / (time.perf_counter() - begun)

    features = "the pass of feature extraction it needs"
    return compare(
        "linear evaluation, 90 epochs, 8 rates, 10,000 images, ResNet-18 at 32 px",
        {
            "ssl-host": lambda: seconds(lambda: evaluator.evaluate(bank)),
            features: lambda: seconds(extracted),
        },
        {features: 2},
        unit="a second",
        warm=True,
    )


QUEUE = """
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


def memory() -> Comparison:
    """Row 9: what a run occupies after 20 epochs and after 200, seen from outside."""
    found: dict[int, list[float]] = {20: [], 200: []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "memory.ini"
            file.write_text(QUEUE, encoding="utf-8")
            command = [sys.executable, "-m", "ssl_host", "run", str(file)]
            with subprocess.Popen(command, cwd=place, stderr=subprocess.DEVNULL) as running:
                for epoch, sizes in found.items():
                    written = f"runs/memory/checkpoints/step-{8 * epoch:09d}.ckpt"
                    while not (Path(place) / written).exists() and running.poll() is None:
                        time.sleep(0.02)
                    pages = int(Path(f"/proc/{running.pid}/statm").read_text("utf-8").split()[1])
                    sizes.append(pages * resource.getpagesize() / 2**20)
                running.kill()
    last = "after 200"
    speeds = {"after 20 epochs": found[20], last: found[200]}
    return Comparison("memory of a run with a queue", "MiB", speeds, {last: 0.98})

"""Training steps in float32 and bfloat16, side by side, on this CPU.

    python benchmarks/precision.py

Prints the median of five alternating rounds and their ratio.
"""

from __future__ import annotations

import statistics
import time

import torch

import ssl_host
from ssl_host.train.settle import cpu_has_bf16

CASES = {
    "small_conv, 28 px, 256 images": ("small_conv", {}, 28, 1, 256),
    "ResNet-18, 32 px, 64 images": ("timm", {"model": "resnet18", "stem": "cifar"}, 32, 3, 64),
}


def main() -> None:
    print(f"bfloat16 in hardware: {cpu_has_bf16()}")
    for title, (name, settings, size, channels, count) in CASES.items():
        backbone = ssl_host.build(
            "backbone", name, in_channels=channels, image_size=size, **settings
        ).to(memory_format=torch.channels_last)
        head = {"hidden_dim": 256, "output_dim": 64}
        method = ssl_host.build("method", "simclr", backbone=backbone, **{"head.projector": head})
        optimizer = torch.optim.SGD(method.parameters(), lr=0.01)
        views = [
            torch.randn(count, channels, size, size).contiguous(memory_format=torch.channels_last)
            for _ in range(2)
        ]
        times: dict[bool, list[float]] = {False: [], True: []}
        for number in range(12):
            half = number % 2 == 1
            begun = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                out = method.step(ssl_host.Batch(views, torch.arange(count)))
            optimizer.zero_grad()
            out.loss.backward()
            optimizer.step()
            if number > 1:
                times[half].append(time.perf_counter() - begun)
        full, short = statistics.median(times[False]), statistics.median(times[True])
        print(
            f"{title}: float32 {1000 * full:.0f} ms, bfloat16 {1000 * short:.0f} ms, "
            f"{full / short:.2f} x"
        )


if __name__ == "__main__":
    main()

"""What ``auto`` means on this machine: from the hardware's features, never from a timing."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ssl_host.config.resolved import Resolved
from ssl_host.errors import UserError
from ssl_host.toolkit.cores import available_cores

AUTO = "auto, settled here"
"""The layer that settled values are shown with."""


def settle(config: Resolved) -> Resolved:
    """Replace every ``auto`` of ``[trainer]`` and ``[loader]`` by what was chosen."""
    trainer = config.trainer
    device = _device(trainer.accelerator)
    cores = available_cores()
    chosen = {
        ("trainer", "accelerator"): device,
        ("trainer", "devices"): 1 if device == "cpu" else max(1, _device_count(device)),
        ("trainer", "precision"): _precision(device),
        ("trainer", "channels_last"): device != "mps",
        ("trainer", "compile"): "off",
        ("trainer", "num_threads"): _threads(cores),
        ("loader", "num_workers"): max(1, cores - 1) if device == "cpu" else min(8, cores),
    }
    for (section, key), value in chosen.items():
        if getattr(config.host[section], key) == "auto":
            config = config.with_value(section, key, value, AUTO)
    return config


def _threads(cores: int) -> int:
    """What everyone who runs several processes on a machine sets, or one a core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) else cores


def _device(wanted: str) -> str:
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted in ("gpu", "cuda"):
        if not torch.cuda.is_available():
            raise UserError(
                f"[trainer] accelerator = {wanted}: no GPU that torch can use; "
                "set accelerator = cpu, or install a build of torch for your GPU"
            )
        return "cuda"
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UserError("[trainer] accelerator = mps: not available; set accelerator = cpu")
    return wanted


def _device_count(device: str) -> int:
    return torch.cuda.device_count() if device == "cuda" else 1


def _precision(device: str) -> str:
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(False) else "16-mixed"
    return "bf16-mixed" if device == "cpu" and cpu_has_bf16() else "32-true"


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware.

    Where it does, a ResNet-18 trains nearly twice as fast (`benchmarks/speed/run.py precision`);
    where it does not, bf16 is emulated and an order of magnitude slower than float32.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = text.partition("flags")[2].partition("\n")[0].split()
    return "avx512_bf16" in flags or "amx_bf16" in flags

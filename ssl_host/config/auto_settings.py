"""What ``auto`` means on this machine: from the hardware's features, never from a timing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ssl_host.config.run_config import RunConfig
from ssl_host.config.values import Key
from ssl_host.errors import RunFolderError, UserError
from ssl_host.toolkit.cores import available_cores

AUTO = "auto, settled here"
"""The layer that settled values are shown with."""


_CHOICES: Mapping[Key, Callable[[str, int], Any]] = {
    ("trainer", "accelerator"): lambda device, _: device,
    ("trainer", "devices"): lambda device, _: _device_count(device),
    ("trainer", "precision"): lambda device, _: _precision(device),
    ("trainer", "channels_last"): lambda device, _: device != "mps",
    ("trainer", "compile"): lambda *_: "off",
    ("trainer", "num_threads"): lambda _, cores: _threads(cores),
    ("loader", "num_workers"): lambda device, cores: (
        max(1, cores - 1) if device == "cpu" else min(8, cores)
    ),
}
"""What each ``auto`` becomes on a kind of device and a number of cores."""


def resolve_auto(config: RunConfig) -> RunConfig:
    """Replace every ``auto`` of ``[trainer]`` and ``[loader]`` by what was chosen."""
    device = _device(config.trainer.accelerator)
    cores = available_cores()
    for (section, key), choose in _CHOICES.items():
        if config.entries[section, key].value == "auto":
            config = config.with_value(section, key, choose(device, cores), AUTO)
    return config


def require_device(config: RunConfig, folder: Path) -> None:
    """Check that this machine has the kind of device that a run was begun on.

    Raises:
        RunFolderError: when it has not.
    """
    try:
        _device(config.trainer.accelerator)
    except UserError:
        raise RunFolderError(
            f"{folder} holds a run that was begun with [trainer] accelerator = "
            f"{config.trainer.accelerator}, which this machine has not: go on with it where there "
            "is one, or use --fresh to begin anew (the old run is moved aside)"
        ) from None


def auto_keys(config: RunConfig) -> set[Key]:
    """Settings that a machine chooses, whether :func:`settle` has been here already or not."""
    shown = config.entries
    return {k for k in _CHOICES if shown[k].value == "auto" or shown[k].origin.layer == AUTO}


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
    return max(1, torch.cuda.device_count()) if device == "cuda" else 1


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

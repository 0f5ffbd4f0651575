"""Choice of ``auto`` settings from the features of the hardware, never from a measurement."""

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

AUTO = "auto, chosen on this machine"
"""Layer of the chosen values."""


_CHOICES: Mapping[Key, Callable[[str, int], Any]] = {
    ("trainer", "accelerator"): lambda device, _: device,
    ("trainer", "devices"): lambda device, _: _device_count(device),
    ("trainer", "precision"): lambda device, _: _precision(device),
    ("trainer", "channels_last"): lambda device, _: device != "mps",
    ("trainer", "compile"): lambda *_: "off",
    ("trainer", "num_threads"): lambda _, cores: _num_threads(cores),
    ("loader", "num_workers"): lambda device, cores: (
        max(1, cores - 1) if device == "cpu" else min(8, cores)
    ),
}
"""Value of each ``auto`` for a kind of device and a number of CPU cores."""


def resolve_auto(config: RunConfig) -> RunConfig:
    """Replace every ``auto`` of ``[trainer]`` and ``[loader]`` by a value for this machine.

    Raises:
        UserError: if the accelerator is not available on this machine.
    """
    device = _available_device(config.trainer.accelerator)
    cores = available_cores()
    for (section, key), choose in _CHOICES.items():
        if config.entries[section, key].value == "auto":
            config = config.with_value(section, key, choose(device, cores), AUTO)
    return config


def require_device(config: RunConfig, folder: Path) -> None:
    """Check that the kind of device on which a run was started is available.

    Args:
        config: stored configuration of the run.
        folder: folder of the run, for the message.

    Raises:
        RunFolderError: if it is not available on this machine.
    """
    try:
        _available_device(config.trainer.accelerator)
    except UserError:
        raise RunFolderError(
            f"the run in {folder} was started with [trainer] accelerator = "
            f"{config.trainer.accelerator}, which is not available on this machine; resume it on "
            "a machine that has it, or use --fresh to start again (the old run is moved aside)"
        ) from None


def auto_keys(config: RunConfig) -> set[Key]:
    """Return the settings that are ``auto`` or that :func:`resolve_auto` has chosen."""
    return {
        key
        for key in _CHOICES
        if config.entries[key].value == "auto" or config.entries[key].origin.layer == AUTO
    }


def _num_threads(cores: int) -> int:
    """Return ``OMP_NUM_THREADS``, which schedulers set for each process, or one per core."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return int(threads) if threads.isdigit() and int(threads) else cores


def _available_device(accelerator: str) -> str:
    """Return the device type for an accelerator: cpu, cuda or mps.

    Raises:
        UserError: if the device is not available.
    """
    if accelerator == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if accelerator in ("gpu", "cuda"):
        if not torch.cuda.is_available():
            raise UserError(
                f"[trainer] accelerator = {accelerator}: torch finds no GPU; "
                "set accelerator = cpu, or install a build of torch for your GPU"
            )
        return "cuda"
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise UserError(
            "[trainer] accelerator = mps: is not available on this machine; set accelerator = cpu"
        )
    return accelerator


def _device_count(device: str) -> int:
    return max(1, torch.cuda.device_count()) if device == "cuda" else 1


def _precision(device: str) -> str:
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(False) else "16-mixed"
    return "bf16-mixed" if device == "cpu" and cpu_has_bf16() else "32-true"


def cpu_has_bf16() -> bool:
    """Return True if the processor multiplies bfloat16 in hardware.

    With hardware support a ResNet-18 trains nearly twice as fast as in float32
    (`benchmarks/speed/run.py precision`); emulated, bfloat16 is an order of magnitude slower.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = text.partition("flags")[2].partition("\n")[0].split()
    return "avx512_bf16" in flags or "amx_bf16" in flags

"""Choose values for ``auto`` settings from the hardware, without timing training steps."""

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
"""Name of the configuration layer with the values that replace ``auto``."""


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
"""Maps each hardware-dependent setting to a function of device type and number of cores."""


def resolve_auto(config: RunConfig) -> RunConfig:
    """Replace ``auto`` in the hardware-dependent settings with values for this machine.

    These settings are accelerator, devices, precision, channels_last, compile and num_threads in
    ``[trainer]``, and num_workers in ``[loader]``.

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
    """Check that this machine has the type of device on which a run was started.

    Args:
        config: the stored configuration of the run.
        folder: the run folder, for the error message.

    Raises:
        RunFolderError: if the device is not available on this machine.
    """
    try:
        _available_device(config.trainer.accelerator)
    except UserError:
        raise RunFolderError(
            f"the run in {folder} was started with [trainer] accelerator = "
            f"{config.trainer.accelerator}, which is not available on this machine; resume it on "
            "a machine that has it, or use --fresh to start again (the old folder is renamed)"
        ) from None


def auto_keys(config: RunConfig) -> set[Key]:
    """Return the keys of settings that are ``auto`` or were set by ``resolve_auto``."""
    return {
        key
        for key in _CHOICES
        if config.entries[key].value == "auto" or config.entries[key].origin.layer == AUTO
    }


def _num_threads(cores: int) -> int:
    """Return the number of CPU threads: ``OMP_NUM_THREADS`` if it is set, else one per core."""
    # Job schedulers set OMP_NUM_THREADS for each process.
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return int(threads) if threads.isdigit() and int(threads) else cores


def _available_device(accelerator: str) -> str:
    """Return the device type (cpu, cuda or mps) for a value of ``[trainer] accelerator``.

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
            "[trainer] accelerator = mps: this machine does not support MPS; set accelerator = cpu"
        )
    return accelerator


def _device_count(device: str) -> int:
    """Return the number of GPUs for cuda, else 1."""
    return max(1, torch.cuda.device_count()) if device == "cuda" else 1


def _precision(device: str) -> str:
    """Return bf16-mixed if the hardware supports it; else 16-mixed on GPUs, 32-true elsewhere."""
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(False) else "16-mixed"
    return "bf16-mixed" if device == "cpu" and cpu_has_bf16() else "32-true"


def cpu_has_bf16() -> bool:
    """Return True if the CPU has instructions for multiplying bfloat16 numbers.

    With hardware support, a ResNet-18 trains nearly twice as fast as in float32
    (`benchmarks/speed/run.py precision`); without it, bfloat16 is emulated and an order of
    magnitude slower.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = text.partition("flags")[2].partition("\n")[0].split()
    return "avx512_bf16" in flags or "amx_bf16" in flags

"""Describe the machine on which a run will train."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from ssl_host import available_cores


@dataclass(frozen=True)
class Machine:
    """The machine's resources.

    Attributes:
        cores: number of CPU cores that this process may use.
        memory_gb: main memory in GB; None if it is unknown.
        gpu: name of the first GPU; None without one.
    """

    cores: int
    memory_gb: float | None
    gpu: str | None

    def __str__(self) -> str:
        memory = "" if self.memory_gb is None else f", {self.memory_gb:.0f} GB of memory"
        device = "no GPU" if self.gpu is None else self.gpu
        return f"{self.cores} CPU cores{memory}, {device}"


def describe_machine() -> Machine:
    """Return the resources of this machine."""
    gpu = None
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_name(0)
    elif torch.backends.mps.is_available():
        gpu = "Apple GPU"
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return Machine(available_cores(), memory, gpu)

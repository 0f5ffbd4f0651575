"""Describe the environment of a run: package versions, plugins and hardware."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import importlib_metadata
import torch

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.run_config import RunConfig

_PACKAGES = (
    "ssl-host",
    "torch",
    "torchvision",
    "timm",
    "pytorch-lightning",
    "torchmetrics",
    "numpy",
    "pillow",
    "safetensors",
)


def describe_environment(config: RunConfig, catalog: Catalog) -> dict[str, Any]:
    """Return the content of ``environment.json``: versions, plugins, components and hardware."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "command": sys.argv,
        "packages": {name: _version(name) for name in _PACKAGES},
        "plugins": [
            {
                "plugin": plugin.origin.plugin,
                "distribution": plugin.origin.distribution,
                "version": plugin.origin.version,
                "state": plugin.state,
            }
            for plugin in catalog.plugins
        ],
        "components": {
            section: {
                "name": component.name,
                "distribution": component.entry.origin.distribution,
                "version": component.entry.origin.version,
            }
            for section, component in config.components.items()
        },
        "hardware": {
            "processor": cpu_model(),
            "cores": os.cpu_count(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
    }


def _version(name: str) -> str | None:
    """Return the version of an installed distribution, or None if it is not installed."""
    try:
        return importlib_metadata.version(name)
    except importlib_metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Return the model name of the CPU, or ``unknown``."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - not a real file
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"

"""Fixtures and helpers that all tests share."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import importlib_metadata
import pytest
import torch

from ssl_host.catalog.catalog import Catalog
from ssl_host.testing.commands import ENVIRONMENT


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: two test processes share two cores, and float sums keep their order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution that consists of one module, as pip would."""
    made: list[str] = []

    def install(name: str, code: str, module: str | None = None, version: str = "1.0") -> Path:
        module = module or name.replace("-", "_")
        site = tmp_path / f"site-{name}"
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        file = site / f"{module}.py"
        file.write_text(code, encoding="utf-8")
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        entry = name.removeprefix("ssl-plugin-")
        (info / "entry_points.txt").write_text(f"[ssl_host]\n{entry} = {module}\n", "utf-8")
        monkeypatch.syspath_prepend(str(site))
        importlib_metadata.MetadataPathFinder.invalidate_caches()
        importlib.invalidate_caches()
        made.append(module)
        return file

    yield install
    for module in made:
        sys.modules.pop(module, None)
    importlib_metadata.MetadataPathFinder.invalidate_caches()


@pytest.fixture
def ssl_host(ssl_host_command):
    """Run the command in this process; use ``ssl_host_process`` where the process matters."""
    return ssl_host_command


@pytest.fixture
def ssl_host_process(tmp_path):
    """Run the command in a separate process."""

    def command(*arguments: object, env: dict[str, str] | None = None, cwd: Path = tmp_path):
        return subprocess.run(
            [sys.executable, "-m", "ssl_host", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **ENVIRONMENT, **(env or {})},
            timeout=240,
            check=False,
        )

    return command


def tiny(**sections: dict[str, object]) -> dict[str, dict[str, object]]:
    """Return the sections of a short run: SimCLR, a small network, synthetic images."""
    config: dict[str, dict[str, object]] = {
        "run": {"name": "tiny", "epochs": 2, "batch_size": 16, "seed": 1},
        "data": {"name": "synthetic", "num_images": 48, "num_test": 24, "image_size": 16},
        "method": {"name": "simclr"},
        "backbone": {"name": "small_conv", "width": 8, "num_stages": 3},
        "head.projector": {"hidden_dim": 32, "output_dim": 16},
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "scheduler": {"warmup_epochs": 0},
        "trainer": {"num_threads": 1, "log_every": 1},
        "evaluator.rankme": {"name": "rankme"},
    }
    for section, values in sections.items():
        config.setdefault(section, {}).update(values)
    return config


def as_ini(sections: dict[str, dict[str, object]]) -> str:
    """Return sections as the text of an INI file."""
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    return "\n".join(lines)

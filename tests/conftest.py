"""Fixtures and helpers that all tests share."""

from __future__ import annotations

import importlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import importlib_metadata
import pytest
import torch

from ssl_host.catalog.catalog import Catalog
from ssl_host.cli import main

ROOT = Path(__file__).parents[1]


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


COMMAND_ENV = {"OMP_NUM_THREADS": "1", "COLUMNS": "160"}


def run_command(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``ssl-host`` in this process, which has imported torch already.

    Returns:
        Exit status, stdout and stderr, as :func:`subprocess.run` gives them.
    """
    words = [str(argument) for argument in arguments]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    argv, folder = sys.argv, Path.cwd()
    stdout, stderr = io.StringIO(), io.StringIO()
    try:
        os.chdir(cwd)
        sys.argv = ["ssl-host", *words]
        with (
            patch.dict(os.environ, {**COMMAND_ENV, **(env or {})}),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
        ):
            main(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        return subprocess.CompletedProcess(words, status, stdout.getvalue(), stderr.getvalue())
    finally:
        os.chdir(folder)
        sys.argv = argv
        for number, handler in handlers.items():
            signal.signal(number, handler)
        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float32)  # a run in 64-true changes it
    raise AssertionError("main() ends with SystemExit")


@pytest.fixture
def ssl_host(tmp_path):
    """Run the command in this process; use ``ssl_host_process`` where the process matters."""

    def command(*arguments: object, env: dict[str, str] | None = None, cwd: Path = tmp_path):
        return run_command(*arguments, cwd=cwd, env=env)

    return command


@pytest.fixture
def ssl_host_process(tmp_path):
    """Run the command in a separate process."""

    def command(*arguments: object, env: dict[str, str] | None = None, cwd: Path = tmp_path):
        return subprocess.run(
            [sys.executable, "-m", "ssl_host", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **COMMAND_ENV, **(env or {})},
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

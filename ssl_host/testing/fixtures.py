"""Pytest plugin with fixtures for testing plugins; importing it does not import torch."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ssl_host.testing.harness import MethodCase


@pytest.fixture
def method_case() -> Callable[..., MethodCase]:
    """Return a function that builds a :class:`MethodCase`: a small method and its batches.

    Use ``case = method_case("nnclr", queue_size=8)``, then ``case.fresh()``, ``case.batch(8)`` and
    ``case.train(method, 3)``. Weights and views are float64 by default.
    See :class:`ssl_host.testing.MethodCase`.
    """
    from ssl_host.testing.harness import MethodCase  # noqa: PLC0415 - imports torch
    from ssl_host.testing.target import CheckTarget  # noqa: PLC0415

    return lambda target, **settings: MethodCase(CheckTarget("method", target, settings))


@pytest.fixture
def ssl_host_command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the ``ssl-host`` command in this process.

    ``ssl_host_command("run", "config.ini")`` returns the exit status, stdout and stderr. The
    working directory is ``tmp_path``. See :func:`ssl_host.testing.run_command`.
    """
    from ssl_host.testing.commands import run_command  # noqa: PLC0415 - imports torch

    def command(
        *arguments: object, cwd: Path = tmp_path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return run_command(*arguments, cwd=cwd, env=env)

    return command


@pytest.fixture
def two_processes() -> Callable[..., list[Any]]:
    """Return :func:`ssl_host.testing.run_distributed`, which runs a function in two processes.

    ``two_processes(work, *arguments)`` returns both results, ordered by rank.
    """
    from ssl_host.testing.distributed import run_distributed  # noqa: PLC0415 - imports torch

    return run_distributed


@pytest.fixture
def run_tiny(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that trains in a temporary folder and returns the results.

    ``run_tiny({"method": {"name": "nnclr"}})`` trains for two epochs on 48 synthetic images, unless
    the configuration sets other values.
    """

    def run(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        import ssl_host  # noqa: PLC0415

        config: dict[str, dict[str, Any]] = {
            "run": {"name": "tiny", "epochs": 2, "batch_size": 16, "dir": str(tmp_path)},
            "data": {"name": "synthetic", "num_images": 48, "num_test": 24, "image_size": 16},
            "backbone": {"name": "small_conv", "width": 8, "num_stages": 3},
            "trainer": {"num_threads": 1},
            "evaluator.rankme": {"name": "rankme"},
        }
        for section, values in sections.items():
            defaults = config.get(section, {})
            if section != "run" and values.get("name", defaults.get("name")) != defaults.get(
                "name"
            ):
                defaults = {}  # the defaults belong to a different component
            config[section] = {**defaults, **values}
        return ssl_host.run(config, quiet=True)

    return run

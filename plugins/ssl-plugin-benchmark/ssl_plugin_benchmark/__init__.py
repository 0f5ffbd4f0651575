"""Command `ssl-host benchmark SUITE`, which compares many configurations in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssl_host import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ssl_host import Catalog, CommandGroup

ssl_host_api = 1


@hookimpl
def register_commands(cli: CommandGroup) -> None:
    from ssl_plugin_benchmark.command import benchmark  # noqa: PLC0415 - keeps start-up short

    cli.add_command(benchmark)


@hookimpl
def check_config(
    path: Path, text: str, options: Sequence[str], catalog: Catalog
) -> Sequence[str] | None:
    """Check a suite file and return lines that confirm it; return None for other files."""
    from ssl_plugin_benchmark.suite import is_suite, read_suite  # noqa: PLC0415 - imports torch

    if not is_suite(text):
        return None
    from ssl_plugin_benchmark.benchmark import check_suite  # noqa: PLC0415

    suite = read_suite(path, options, catalog)
    check_suite(suite)
    return [f"{path}: valid, {len(suite.runs)} runs of suite '{suite.name}'"]

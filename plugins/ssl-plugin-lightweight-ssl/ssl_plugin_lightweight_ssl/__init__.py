"""Read configurations of the Lightweight-SSL project and convert them for ssl-host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_host import hookimpl

if TYPE_CHECKING:
    from ssl_host import Catalog, CommandGroup, ConfigLayer

ssl_host_api = 1

CONFIG_VARIABLE = "CONFIGER_PATH"
"""Environment variable in which scripts of Lightweight-SSL pass the path of the configuration."""


@hookimpl
def find_config() -> Path | None:
    """Return the path from the environment variable CONFIGER_PATH; None if it is not set."""
    path = os.environ.get(CONFIG_VARIABLE)
    return Path(path) if path else None


@hookimpl
def read_config(path: Path, text: str, catalog: Catalog) -> ConfigLayer | None:
    """Return a Lightweight-SSL configuration as an ssl-host layer; None for other text."""
    from ssl_plugin_lightweight_ssl.dialect import (  # noqa: PLC0415 - for a fast start
        is_flat_config,
        translate,
    )

    return translate(path, text, catalog) if is_flat_config(text) else None


@hookimpl
def register_commands(cli: CommandGroup) -> None:
    from ssl_plugin_lightweight_ssl.command import convert  # noqa: PLC0415 - for a fast start

    cli.subgroup("config").add_command(convert)

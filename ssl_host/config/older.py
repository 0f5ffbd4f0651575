"""The older project's configurations: recognised, and read as a layer of today's.

Flat keys with ``ssl_method`` among them stand before any section, and values carry their type
(``0.1@float``). The phase is the name of the file's folder, ``pretrain`` or ``linear_eval``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.ini import parse_ini
from ssl_host.config.layers import ConfigLayer
from ssl_host.config.older_keys import FLAT
from ssl_host.config.older_translation import Translation
from ssl_host.config.values import ConfigValue, Key, LiteralError, parse_value
from ssl_host.errors import ConfigError, Problem


def is_older(text: str) -> bool:
    """Whether a file's text is in the older dialect."""
    before_sections = re.split(r"(?m)^\s*\[", text, maxsplit=1)[0]
    return bool(re.search(r"(?m)^ssl_method\s*=", before_sections))


def older_layer(path: Path, text: str, catalog: Catalog) -> tuple[ConfigLayer, list[str]]:
    """A file of the older dialect as a layer of today's, and what there is to say about it.

    Raises:
        ConfigError: with every fault found.
    """
    values, _ = parse_ini(text, str(path), "file", top=FLAT)
    typed: dict[Key, ConfigValue] = {}
    problems = []
    for key, value in values.items():
        try:
            typed[key] = ConfigValue(_read(value.raw), value.origin)
        except LiteralError as error:
            problems.append(Problem(str(value.origin), f"{key[1]}: {error}"))
    translation = Translation(path, typed, catalog)
    translation.translate()
    problems += translation.problems
    if problems:
        raise ConfigError(sorted(problems))
    return ConfigLayer("file", translation.values, {}, str(path)), translation.notes


def _read(text: str) -> Any:
    """A typed value; one without a type is text, or a literal where it is one."""
    return parse_value(text, Any) if "@" in text else parse_value(text, int | float)

"""``${section.key}`` and ``${env:NAME}``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ssl_host.catalog.discovery import did_you_mean
from ssl_host.config.values import ConfigValue, Key, format_value

_REFERENCE = re.compile(r"\$\{([^}]*)\}")


class InterpolationError(Exception):
    """A reference that leads nowhere."""


def has_reference(value: ConfigValue) -> bool:
    """Whether a value is text with a ``${...}`` in it."""
    return value.is_text and isinstance(value.raw, str) and "${" in value.raw


def refers_to_environment(value: ConfigValue) -> bool:
    """Whether a value takes something from the environment."""
    return has_reference(value) and "${env:" in value.raw


def substitute(
    value: ConfigValue, table: Mapping[Key, ConfigValue], seen: tuple[Key, ...] = ()
) -> Any:
    """The value's raw content with all references replaced.

    Raises:
        InterpolationError: for an unknown section, key or variable, or a circle.
    """
    if not has_reference(value):
        return value.raw
    whole = _REFERENCE.fullmatch(value.raw.strip())
    if whole and not whole[1].startswith("env:"):
        return _look_up(whole[1], table, seen)
    text = _REFERENCE.sub(lambda m: _as_text(_look_up(m[1], table, seen)), value.raw)
    if "${" in text:
        raise InterpolationError(f"{value.raw!r} has a '${{' without its '}}'")
    return text


def _as_text(found: Any) -> str:
    return found if isinstance(found, str) else format_value(found)


def _look_up(reference: str, table: Mapping[Key, ConfigValue], seen: tuple[Key, ...]) -> Any:
    if reference.startswith("env:"):
        name = reference[4:]
        if name not in os.environ:
            raise InterpolationError(
                f"the environment variable {name} is not set; export {name}=..."
            )
        return os.environ[name]
    section, _, key = reference.strip().rpartition(".")
    if (section, key) in seen:
        chain = " -> ".join(".".join(k) for k in (*seen, (section, key)))
        raise InterpolationError(f"references go round in a circle: {chain}")
    if (section, key) not in table:
        known = [".".join(k) for k in table]
        hint = did_you_mean(reference, known)
        raise InterpolationError(f"${{{reference}}} refers to nothing{hint}")
    return substitute(table[section, key], table, (*seen, (section, key)))

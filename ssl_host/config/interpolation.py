"""Replace references in values: ``${section.key}`` and ``${env:NAME}``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssl_host.catalog.discovery import did_you_mean
from ssl_host.config.values import ConfigOrigin, ConfigValue, Key, format_value

_REFERENCE = re.compile(r"(?P<escape>\$\$\{)|\$\{(?P<name>[^}]*)\}|(?P<unclosed>\$\{)")
_ENVIRONMENT = "env:"
_OF_A_NETWORK = re.compile(
    r"\$\{(backbone(?:\.[^.}]+)?\.(?:feature_dim|token_dim|embed_dim|patch_size))\}"
)


class InterpolationError(Exception):
    """Raised when a reference is unknown, not closed, or part of a cycle."""


def has_reference(value: ConfigValue) -> bool:
    """Return True if a value is text that contains ``${`` or its escaped form ``$${``."""
    return value.is_text and isinstance(value.raw, str) and "${" in value.raw


def network_reference(value: ConfigValue) -> str | None:
    """Return the reference in a value such as ``${backbone.teacher.feature_dim}``, or None.

    Such a reference can be replaced only once the network is built.
    """
    if not has_reference(value):
        return None
    match = _OF_A_NETWORK.fullmatch(value.raw.strip())
    return match[1] if match else None


def refers_to_environment(value: ConfigValue) -> bool:
    """Return True if a value contains a reference ``${env:NAME}``."""
    return has_reference(value) and any(
        (found["name"] or "").startswith(_ENVIRONMENT) for found in _REFERENCE.finditer(value.raw)
    )


def substitute(
    value: ConfigValue, table: Mapping[Key, ConfigValue], visited: tuple[Key, ...] = ()
) -> ConfigValue:
    """Return a value after replacing all of its references.

    If the value is a single reference to a setting, the result is the value of that setting, with
    its type. Otherwise the references are replaced with text. ``$${`` stands for the characters
    ``${``.

    Args:
        value: the value.
        table: maps the section and key of every setting to its value.
        visited: the settings already visited through references, for detecting cycles.

    Raises:
        InterpolationError: if a section, key or environment variable does not exist, if a reference
            is not closed, or if references form a cycle.
    """
    if not has_reference(value):
        return value
    single = _REFERENCE.fullmatch(value.raw.strip())
    if single and single["name"] is not None and not value.is_quoted:
        found = _look_up(single["name"], table, visited)
        # A relative path is relative to the file that contains it, not to the reference.
        origin = found.origin if found.origin.file else value.origin
        return replace(found, origin=origin, comment=value.comment)

    def replacement(match: re.Match[str]) -> str:
        if match["escape"]:
            return "${"
        if match["unclosed"]:
            raise InterpolationError(
                f"'${{' in {value.raw!r} is not closed; add the missing '}}', or write $${{ for "
                "a literal ${"
            )
        return _as_text(_look_up(match["name"], table, visited).raw)

    return replace(value, raw=_REFERENCE.sub(replacement, value.raw))


def _as_text(value: Any) -> str:
    """Return the text that replaces a reference to a value."""
    return str(value) if isinstance(value, str | Path) else format_value(value)


def _look_up(
    reference: str, table: Mapping[Key, ConfigValue], visited: tuple[Key, ...]
) -> ConfigValue:
    """Return the value of the setting or environment variable that a reference names.

    Raises:
        InterpolationError: if there is no such setting or variable, or references form a cycle.
    """
    if reference.startswith(_ENVIRONMENT):
        name = reference.removeprefix(_ENVIRONMENT)
        if name not in os.environ:
            raise InterpolationError(
                f"the environment variable {name} is not set; set it with `export {name}=...`"
            )
        return ConfigValue(os.environ[name], ConfigOrigin(reference), is_text=True)
    section, _, key = reference.strip().rpartition(".")
    if (section, key) in visited:
        cycle = " -> ".join(".".join(k) for k in (*visited, (section, key)))
        raise InterpolationError(f"references form a cycle: {cycle}")
    if (section, key) not in table:
        hint = did_you_mean(reference, [".".join(k) for k in table])
        raise InterpolationError(f"${{{reference}}} is not a setting{hint}")
    return substitute(table[section, key], table, (*visited, (section, key)))

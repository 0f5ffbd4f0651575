"""Validation of one section by a schema, for plugins that read sections of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from ssl_host.config.layers import ConfigLayer, merge_section
from ssl_host.config.messages import validation_problems
from ssl_host.config.values import (
    ConfigValue,
    LiteralError,
    absolute_path,
    accepts_path,
    parse_value,
)
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem

S = TypeVar("S", bound=Settings)


def validate_section(section: str, schema: type[S], layers: Sequence[ConfigLayer], where: str) -> S:
    """Return the settings that some layers give in one section.

    Relative paths are relative to the folder of the file that gives them.

    Args:
        section: the section's name, such as ``suite``.
        schema: the section's keys.
        layers: lowest first; a higher layer's value replaces a lower layer's.
        where: place to report for a problem that belongs to no single key, such as the file.

    Raises:
        ConfigError: with every problem, each at the line of its value.
    """
    values, problems, _ = merge_section(layers, section, schema.mutually_exclusive, False)
    parsed: dict[str, Any] = {}
    unreadable: set[str] = set()
    for key, value in values.items():
        try:
            parsed[key] = _parse(key, value, schema)
        except LiteralError as error:
            unreadable.add(key)
            problems.append(Problem(str(value.origin), f"[{section}] {key}: {error}"))
    try:
        settings = schema.model_validate(parsed)
    except ValidationError as error:
        by_key = validation_problems(error, schema, where, section, values)
        problems += [problem for key, problem in by_key.items() if key not in unreadable]
    if problems:
        raise ConfigError(problems)
    return settings


def _parse(key: str, value: ConfigValue, schema: type[Settings]) -> Any:
    field = schema.model_fields.get(key)
    if field is None:  # pydantic reports the unknown key
        return value.raw
    parsed = parse_value(value.raw, field.annotation) if value.is_text else value.raw
    if accepts_path(field.annotation) and parsed:
        return absolute_path(str(parsed), value.origin)
    return parsed

"""Validation of one section against a schema, for plugins with their own sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from ssl_host.config.layers import ConfigLayer, merge_section
from ssl_host.config.messages import validation_problems
from ssl_host.config.values import LiteralError, parse_field
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem

S = TypeVar("S", bound=Settings)


def validate_section(section: str, schema: type[S], layers: Sequence[ConfigLayer], where: str) -> S:
    """Merge one section of several layers and validate it.

    Relative paths are relative to the folder of the file that gives them.

    Args:
        section: name of the section, such as ``suite``.
        schema: class of its settings.
        layers: lowest first; the highest layer wins.
        where: location for problems without a value, such as a missing key: the file.

    Raises:
        ConfigError: with every problem, each with the line of its value.
    """
    values, problems, _ = merge_section(layers, section, schema.mutually_exclusive, False)
    parsed: dict[str, Any] = {}
    unparsed: set[str] = set()
    for key, value in values.items():
        try:
            field = schema.model_fields.get(key)
            # pydantic reports an unknown key
            parsed[key] = value.raw if field is None else parse_field(value, field.annotation)
        except LiteralError as error:
            unparsed.add(key)
            problems.append(Problem(str(value.origin), f"[{section}] {key}: {error}"))
    try:
        settings = schema.model_validate(parsed)
    except ValidationError as error:
        by_key = validation_problems(error, schema, where, section, values)
        problems += [problem for key, problem in by_key.items() if key not in unparsed]
    if problems:
        raise ConfigError(problems)
    return settings

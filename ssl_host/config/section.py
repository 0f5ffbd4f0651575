"""Validates one section of a configuration, for plugins that define additional sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from ssl_host.config.fields import parse_field
from ssl_host.config.layers import ConfigLayer, merge_section
from ssl_host.config.messages import validation_problems
from ssl_host.config.values import LiteralError
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem

S = TypeVar("S", bound=Settings)


def validate_section(section: str, schema: type[S], layers: Sequence[ConfigLayer], where: str) -> S:
    """Merge one section of several layers and return its validated settings.

    Relative paths are resolved against the folder of the file that contains them.

    Args:
        section: the name of the section, such as ``suite``.
        schema: the settings class.
        layers: the layers, lowest priority first; the last layer that sets a key wins.
        where: the location to report for a problem without a value, such as a missing key; usually
            the path of the file.

    Raises:
        ConfigError: if there are problems; the message lists all of them with the line of each
            value.
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

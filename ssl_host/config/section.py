"""Validate one section of a configuration, for plugins that define additional sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from ssl_host.config.fields import parse_field
from ssl_host.config.layers import ConfigLayer, merge_section, option_value
from ssl_host.config.messages import validation_problems
from ssl_host.config.values import ConfigValue, LiteralError
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
        where: the location to report for a problem that has no line, such as a missing key;
            usually the path of the file.

    Raises:
        ConfigError: if the section is invalid; the message lists all problems, each with the line
            of its value.
    """
    values, problems, _ = merge_section(layers, section, schema.mutually_exclusive, False)
    parsed, unparsed = parse_settings(section, schema, values)
    problems += unparsed.values()
    try:
        settings = schema.model_validate(parsed)
    except ValidationError as error:
        by_key = validation_problems(error, schema, where, section, values)
        problems += [problem for key, problem in by_key.items() if key not in unparsed]
    if problems:
        raise ConfigError(problems)
    return settings


def parse_settings(
    section: str, schema: type[Settings], values: Mapping[str, ConfigValue]
) -> tuple[dict[str, Any], dict[str, Problem]]:
    """Convert the text of settings to the types of a schema; unknown keys keep their text.

    Args:
        section: the section or kind to name in messages.
        schema: the settings class.
        values: the values, keyed by setting name.

    Returns:
        The Python values, which are not validated, and the problems of those that cannot be
        converted; both are keyed by setting name.
    """
    parsed: dict[str, Any] = {}
    problems: dict[str, Problem] = {}
    for key, value in values.items():
        try:
            field = schema.model_fields.get(key)
            # pydantic reports an unknown key
            parsed[key] = value.raw if field is None else parse_field(value, field.annotation)
        except LiteralError as error:
            problems[key] = Problem(str(value.origin), f"[{section}] {key}: {error}")
    return parsed, problems


def component_options(
    section: str, schema: type[Settings], options: Sequence[str]
) -> dict[str, Any]:
    """Parse ``-o`` options for one component and return the settings that they set.

    Options have the form ``KEY=VALUE`` or ``SECTION.KEY=VALUE``. Their values are parsed as for
    ``ssl-host run`` and validated; required settings may be missing.

    Args:
        section: the section of the component, such as ``data``.
        schema: the settings class of the component.
        options: the options.

    Raises:
        ConfigError: if an option is invalid; the message lists all problems.
    """
    values: dict[str, ConfigValue] = {}
    problems = []
    for option in options:
        key, equals, text = option.partition("=")
        key = key.strip().removeprefix(f"{section}.")
        if equals and key:
            values[key] = option_value(option, text)
        else:
            problems.append(Problem(f"-o {option}", "expected KEY=VALUE"))
    parsed, unparsed = parse_settings(section, schema, values)
    problems += unparsed.values()
    try:
        schema.model_validate(parsed)
    except ValidationError as error:
        by_key = validation_problems(error, schema, section, section, values)
        problems += [problem for key, problem in by_key.items() if key in parsed]
    if problems:
        raise ConfigError(problems)
    return parsed

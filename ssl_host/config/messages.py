"""Convert pydantic validation errors into messages for users of INI files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError

from ssl_host.catalog.discovery import did_you_mean
from ssl_host.config.values import ConfigOrigin, ConfigValue
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem

S = TypeVar("S", bound=Settings)

_EXPECTED = {
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "int_type": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "tuple_type": "should be a list, such as [1, 2]",
    "list_type": "should be a list, such as [1, 2]",
    "string_type": "should be text",
}
"""Maps pydantic error types to messages for users of INI files."""

_TYPES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    list: "a list",
    tuple: "a list",
}

_OTHER_NAMES = {
    "learning_rate": "lr",
    "base_learning_rate": "base_lr",
    "wd": "weight_decay",
    "bs": "batch_size",
    "max_epochs": "epochs",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "tau": "temperature",
    "temp": "temperature",
    "lambd": "lambda_",
    "workers": "num_workers",
    "data_dir": "root",
}
"""Maps names of settings in other libraries to the names used here."""


def validate_settings(
    schema: type[S], values: Mapping[str, Any], where: str, section: str = ""
) -> S:
    """Validate Python values and return them as settings.

    Args:
        schema: the settings class.
        values: the value of each setting, keyed by setting name.
        where: the component or file to name in error messages, such as ``loss nt_xent``.
        section: the INI section to name in error messages; empty if there is none.

    Raises:
        ConfigError: if any setting is unknown, missing or invalid; the message lists all of them.
    """
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        given = {key: ConfigValue(value, ConfigOrigin(where)) for key, value in values.items()}
        problems = validation_problems(error, schema, where, section, given)
        raise ConfigError(list(problems.values())) from None


def validation_problems(
    error: ValidationError,
    schema: type[Settings],
    where: str,
    section: str = "",
    values: Mapping[str, ConfigValue] | None = None,
) -> dict[str, Problem]:
    """Convert a pydantic error into one problem for each invalid setting.

    Args:
        error: the error that ``schema.model_validate`` raised.
        schema: the settings class.
        where: the location to report for settings that are missing in ``values``; usually the
            section or the component.
        section: the INI section to name in error messages; empty if there is none.
        values: the value of each setting with its origin, keyed by setting name.

    Returns:
        The problems, keyed by setting name; the key is empty for an error that concerns the
        settings as a whole.
    """
    values = values or {}
    prefix = f"[{section}] " if section else ""
    problems: dict[str, Problem] = {}
    for fault in error.errors():
        key = str(fault["loc"][0]) if fault["loc"] else ""
        if key in problems:  # pydantic reports each member of a union separately
            continue
        message = _EXPECTED.get(fault["type"]) or _without_prefix(fault["msg"])
        if not key:
            location = _locations(schema, message, values) or where
            problems[key] = Problem(location, f"{prefix}{message}")
            continue
        location = str(values[key].origin) if key in values else where
        if fault["type"] == "extra_forbidden":
            problems[key] = Problem(location, f"{prefix}{unknown_key(key, schema.model_fields)}")
            continue
        description = schema.model_fields[key].description
        if fault["type"] == "missing":
            text = f"{prefix}{key}: is required ({description})"
            problems[key] = Problem(where, text, is_missing=True)
            continue
        value = values[key].raw if key in values else fault["input"]
        if len(fault["loc"]) > 1:
            message = _nested_message(schema, key, fault["loc"][1], message)
        problems[key] = Problem(location, f"{prefix}{key} = {value}: {message} ({description})")
    return problems


def unknown_key(
    key: str, known: Iterable[str], others: Mapping[str, Iterable[str]] | None = None
) -> str:
    """Return the message for an unknown key, with a suggestion or a list of the known keys.

    Args:
        key: the unknown key.
        known: the keys of its section.
        others: the keys of all sections, keyed by section, in the order in which they are
            searched for a suggestion.
    """
    names = list(known)
    usual = _OTHER_NAMES.get(key.lower().replace("-", "_"))
    if usual in names:
        return f"{key}: unknown key; did you mean '{usual}'?"
    sections = [f"[{section}]" for section, keys in (others or {}).items() if key in keys]
    if sections:
        return f"{key}: unknown key; {key} is a setting of {' and '.join(sections[:3])}"
    hint = did_you_mean(key, names) or _similar_elsewhere(key, others or {})
    listing = f"; known keys: {', '.join(names) or 'none'}"
    return f"{key}: unknown key{hint or listing}"


def _similar_elsewhere(key: str, others: Mapping[str, Iterable[str]]) -> str:
    """Return a suggestion if another section has a similar key, or an empty string."""
    sections: dict[str, str] = {}
    for section, keys in others.items():
        for name in keys:
            sections.setdefault(name, section)
    near = difflib.get_close_matches(key, sections, n=1, cutoff=0.8)
    return f"; did you mean [{sections[near[0]]}] {near[0]}?" if near else ""


def _without_prefix(message: str) -> str:
    """Return a pydantic message without a leading ``Value error,`` or ``Input``."""
    return message.removeprefix("Value error, ").removeprefix("Input ")


def _nested_message(schema: type[Settings], key: str, location: Any, message: str) -> str:
    """Return the message for a list item, or for a setting that accepts several types.

    Args:
        schema: the settings class.
        key: the key of the setting.
        location: the second part of pydantic's location: the index of a list item, or a type.
        message: the message for the item itself.
    """
    if isinstance(location, int):
        return f"item {location + 1} {message}"
    return f"should be {' or '.join(_type_names(schema.model_fields[key].annotation))}"


def _type_names(annotation: Any) -> Iterator[str]:
    """Yield each type or literal that an annotation accepts, as text for messages."""
    members = get_args(annotation)
    if get_origin(annotation) is Literal:
        yield from map(str, members)
    elif get_origin(annotation) in (Union, UnionType):
        for member in members:
            yield from _type_names(member)
    elif annotation is not type(None):
        yield _TYPES.get(get_origin(annotation) or annotation, "another value")


def _locations(schema: type[Settings], message: str, values: Mapping[str, ConfigValue]) -> str:
    """Return the locations, separated by commas, of the settings that a message mentions.

    If the message mentions no setting, the locations of all settings of the section are returned.
    """
    mentioned = [key for key in schema.model_fields if key in message] or schema.model_fields
    locations = [
        str(values[key].origin) for key in mentioned if key in values and values[key].origin.file
    ]
    return ", ".join(dict.fromkeys(locations))


def sort_key(problem: Problem) -> tuple[str, int, str]:
    """Return the sort key of a problem: file, line as a number, message."""
    file, _, line = problem.where.rpartition(":")
    if line.isdigit():
        return file, int(line), problem.message
    return problem.where, 0, problem.message


def untrained_note(origin: object) -> str:
    """Return the note for a configuration that neither trains nor loads a network."""
    return (
        f"{origin}: nothing is trained, because [run] epochs = 0 and init_from is not set; the "
        "evaluators use the network's initial weights"
    )

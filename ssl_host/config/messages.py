"""pydantic's findings as problems with a place and a remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from ssl_host.config.values import ConfigValue, Key
from ssl_host.contracts.settings import Settings
from ssl_host.errors import Problem

_PLAIN = {
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
"""Simpler words for what an INI file's author has no notion of."""

_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    list: "a list",
    tuple: "a list",
}


def explain(
    section: str,
    where: str,
    schema: type[Settings],
    error: ValidationError,
    merged: Mapping[Key, ConfigValue],
) -> Iterator[tuple[str, Problem]]:
    """Each fault of a section: the key, empty for the section as a whole, and the problem.

    Args:
        where: the section's place.
        merged: every value, with its place.
    """
    told: set[str] = set()
    for fault in error.errors():
        message = _PLAIN.get(fault["type"]) or _plain(fault["msg"])
        if not fault["loc"]:
            yield (
                "",
                Problem(_places(section, where, schema, message, merged), f"[{section}] {message}"),
            )
            continue
        key = str(fault["loc"][0])
        if key in told:  # a union tells of each of its members
            continue
        told.add(key)
        value = merged.get((section, key))
        about = schema.model_fields[key].description
        if value is None:
            yield key, Problem(where, f"[{section}] {key}: is required ({about})")
            continue
        if len(fault["loc"]) > 1:
            message = _of_union(schema, key, fault, message)
        yield (
            key,
            Problem(str(value.origin), f"[{section}] {key} = {value.raw}: {message} ({about})"),
        )


def _plain(message: str) -> str:
    return message.removeprefix("ConfigValue error, ").removeprefix("Input ")


def _of_union(schema: type[Settings], key: str, fault: Any, message: str) -> str:
    """For a field that admits several types, what any of them would be."""
    if isinstance(fault["loc"][1], int):
        return f"item {fault['loc'][1] + 1} {message}"
    return f"should be {' or '.join(_kinds(schema.model_fields[key].annotation))}"


def _kinds(annotation: Any) -> Iterator[str]:
    """What a type admits, in the words of :data:`_PLAIN`."""
    members = get_args(annotation)
    if get_origin(annotation) is Literal:
        yield from map(str, members)
    elif get_origin(annotation) in (Union, UnionType):
        for member in members:
            yield from _kinds(member)
    elif annotation is not type(None):
        yield _KINDS.get(get_origin(annotation) or annotation, "another value")


def _places(
    section: str,
    where: str,
    schema: type[Settings],
    message: str,
    merged: Mapping[Key, ConfigValue],
) -> str:
    """The lines of all keys that a whole-section fault speaks of."""
    involved = [key for key in schema.model_fields if key in message] or list(schema.model_fields)
    places = [
        str(value.origin)
        for key in involved
        if (value := merged.get((section, key))) is not None and value.origin.file
    ]
    return ", ".join(dict.fromkeys(places)) or where

"""Format settings and resolved configurations as human-readable text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ssl_host.config.run_config import RunConfig
from ssl_host.config.values import format_value
from ssl_host.contracts.settings import Settings

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def describe_settings(schema: type[Settings]) -> list[dict[str, Any]]:
    """Return a dictionary for each setting: name, type, default, bounds and description.

    ``required`` is True if the setting has no default; all other values are text.
    """
    rows = []
    for name, field in schema.model_fields.items():
        bounds = [
            f"{sign} {value}"
            for attribute, sign in _BOUNDS.items()
            for rule in field.metadata
            if (value := getattr(rule, attribute, None)) is not None
        ]
        default = None if field.is_required() else field.get_default()
        rows.append(
            {
                "name": name,
                "type": type_name(field.annotation),
                "required": field.is_required(),
                "default": "" if default is None else format_value(default, field.annotation),
                "bounds": f" {', '.join(bounds)}" if bounds else "",
                "description": field.description or "",
            }
        )
    return rows


def type_name(annotation: Any) -> str:
    """Return a readable name of a type, such as ``int or auto`` or ``list of float``.

    None is not mentioned: an empty default already shows that a setting is optional.
    """
    members = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        return type_name(members[0])
    if origin is Literal:
        return " or ".join(map(str, members))
    if origin in (Union, UnionType):
        return " or ".join(type_name(member) for member in members if member is not type(None))
    if origin in (list, tuple):
        items = dict.fromkeys(type_name(member) for member in members if member is not ...)
        return f"list of {' or '.join(items)}"
    return str(getattr(annotation, "__name__", annotation)).lower()


def config_rows(config: RunConfig) -> Iterator[dict[str, str]]:
    """Yield one row per setting, as text: section, key, value, layer, origin, description."""
    for (section, key), entry in config.entries.items():
        location = _relative_location(str(entry.origin))
        layer = entry.origin.layer
        yield {
            "section": section,
            "key": key,
            "value": entry.text,
            "layer": layer,
            "origin": "" if location == layer else location,
            "description": entry.description,
        }


def config_lines(config: RunConfig, describe: bool = False) -> Iterator[str]:
    """Yield the lines of the configuration as INI text; comments give the origin of each value.

    Args:
        config: the configuration.
        describe: True to add the description of each setting as a comment.
    """
    rows = list(config_rows(config))
    width = min(44, max(len(f"{row['key']} = {row['value']}") for row in rows))
    section = ""
    for row in rows:
        if row["section"] != section:
            yield f"\n[{row['section']}]" if section else f"[{row['section']}]"
            section = row["section"]
        if describe:
            yield f"# {row['description']}"
        origin = " ".join(filter(None, (row["layer"], row["origin"])))
        yield f"{row['key']} = {row['value']}".ljust(width) + f"  # {origin}"


def _relative_location(location: str) -> str:
    """Return a location as a relative path if it is inside the working directory."""
    return location.removeprefix(f"{Path.cwd()}/")

"""A schema in words: what ``component show`` and the reference pages print."""

from __future__ import annotations

import re
from typing import Any

from ssl_host.config.values import format_value
from ssl_host.contracts.settings import Settings

_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def describe_settings(schema: type[Settings]) -> list[dict[str, Any]]:
    """Each setting's name, type, default, bounds and description."""
    rows = []
    for name, field in schema.model_fields.items():
        bounds = [
            f"{sign} {value}"
            for attribute, sign in _SIGNS.items()
            for rule in field.metadata
            if (value := getattr(rule, attribute, None)) is not None
        ]
        rows.append(
            {
                "name": name,
                "type": _type_name(field.annotation),
                "required": field.is_required(),
                "default": "" if field.is_required() else _default(field.get_default()),
                "bounds": f" {', '.join(bounds)}" if bounds else "",
                "description": field.description or "",
            }
        )
    return rows


def _default(value: Any) -> str:
    return "" if value is None else format_value(value)


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return "nothing" if annotation is type(None) else annotation.__name__.lower()
    text = re.sub(r"Annotated\[(\w+), FieldInfo\(.*?\)\]\)\]", r"\1", str(annotation))
    text = text.replace("typing.", "").replace("pathlib.", "")
    return text.replace("Optional[", "[").replace("Literal", "one of ").replace("NoneType", "None")

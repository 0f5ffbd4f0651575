"""Configuration values with their origin, and the conversion between text and values."""

from __future__ import annotations

import ast
import re
import types
import typing
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Key = tuple[str, str]
"""Section and key."""


@dataclass(frozen=True)
class ConfigOrigin:
    """Layer and location that a value comes from.

    Attributes:
        layer: such as ``file``, ``option``, ``preset simclr/cifar10`` or ``method simclr``.
        file: path of the INI file; for an option, the option itself; else empty.
        line: line in the file, from 1; 0 if the value does not come from a file.
    """

    layer: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file and self.line else self.file or self.layer


@dataclass(frozen=True)
class ConfigValue:
    """Value of a key in one layer.

    Attributes:
        raw: text from INI files and options, any object from Python.
        origin: where it comes from, for messages.
        is_text: ``raw`` is text that is still to be parsed.
    """

    raw: Any
    origin: ConfigOrigin
    is_text: bool = False


class LiteralError(Exception):
    """Text that does not match its own ``@type`` suffix."""


_SUFFIX = re.compile(r"(?s)^(?P<text>.*)@(?P<type>int|float|str|bool|list|dict|tuple)$")
_TYPES: dict[str, type] = {t.__name__: t for t in (int, float, str, bool, list, dict, tuple)}
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0", ""}


def parse_value(text: str, annotation: Any) -> Any:
    """Convert text to a value for a field of a given type. Nothing is ever evaluated.

    ``value@type`` is parsed as a literal of that type. Otherwise a field that accepts text gets
    the text itself, and any other field a Python literal if the text is one.

    Args:
        text: such as ``0.1``, ``[1, 2]``, ``true`` or ``100@int``.
        annotation: type of the field, such as ``int | None``.

    Raises:
        LiteralError: if a ``@type`` suffix does not match its value.
    """
    suffixed = _SUFFIX.match(text)
    if suffixed:
        return _parse_typed(suffixed["text"].strip(), suffixed["type"])
    accepted = _accepted_types(annotation)
    if type(None) in accepted and text.lower() in ("", "none"):
        return None
    if str in accepted or Path in accepted:
        return text
    if bool in accepted and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    try:
        return _parse_literal(text)
    except ValueError:
        return text


def _parse_literal(text: str) -> Any:
    """Parse a Python literal.

    Raises:
        ValueError: if the text is not a literal.
    """
    try:
        with warnings.catch_warnings():
            # Python warns about text such as `1a`, which our own message reports.
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError(str(error)) from None


def _parse_typed(text: str, type_name: str) -> Any:
    """Parse text with a ``@type`` suffix.

    Raises:
        LiteralError: if the text is not of that type.
    """
    if type_name == "str":
        return text
    if type_name == "bool":
        if text.lower() not in _TRUE | _FALSE:
            raise LiteralError(f"{text!r} is not a bool; write True@bool or False@bool")
        return text.lower() in _TRUE
    try:
        value = _parse_literal(text)
    except ValueError:
        raise LiteralError(
            f"{text!r} is not of type {type_name}, which @{type_name} requires"
        ) from None
    if type_name == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, _TYPES[type_name]) or isinstance(value, bool):
        actual = type(value).__name__
        raise LiteralError(f"{text!r} is of type {actual}, but @{type_name} requires {type_name}")
    return value


def _accepted_types(annotation: Any) -> set[Any]:
    """Return the types that an annotation accepts; members of unions one by one."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return set().union(*(_accepted_types(a) for a in typing.get_args(annotation)))
    if origin is typing.Annotated:
        return _accepted_types(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        # Not `str`: for "auto" | int the text must be tried as a number first.
        return {f"literal {type(a).__name__}" for a in typing.get_args(annotation)}
    return {annotation}


def parse_field(value: ConfigValue, annotation: Any) -> Any:
    """Convert a value for a field of a given type; a relative path becomes absolute.

    Args:
        value: the value, with references replaced.
        annotation: type of the field.

    Raises:
        LiteralError: if a ``@type`` suffix does not match its value.
    """
    raw = value.raw
    if value.is_text and isinstance(raw, str):
        raw = parse_value(raw, annotation)
    if Path in _accepted_types(annotation) and isinstance(raw, str | Path) and str(raw):
        raw = absolute_path(str(raw), value.origin)
    return raw


def absolute_path(text: str, origin: ConfigOrigin) -> str:
    """Make a path absolute: relative to its INI file, for options to the working folder."""
    path = Path(text).expanduser()
    if path.is_absolute():
        return str(path)
    folder = Path(origin.file).parent if origin.file and origin.line else Path()
    return str((folder / path).resolve())


def format_value(value: Any) -> str:
    """Return a value as INI text that :func:`parse_value` converts back."""
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return f"{value:.1f}"
    if isinstance(value, tuple | list):
        return repr(list(value))
    return str(value)

"""Values with their origin, and how text becomes a value."""

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
    """Which layer gave a value, and where it stands.

    Attributes:
        layer: such as ``file``, ``option``, ``preset simclr/cifar10`` or ``method simclr``.
        file: the INI file, where there is one.
        line: its line, from 1; for an option, which one.
    """

    layer: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file and self.line else self.file or self.layer


@dataclass(frozen=True)
class ConfigValue:
    """A value as a layer gives it.

    Attributes:
        raw: text from INI files and options, any object from Python.
        is_text: whether ``raw`` is still to be read.
    """

    raw: Any
    origin: ConfigOrigin
    is_text: bool = False


class LiteralError(Exception):
    """A text that is not what it says it is."""


_SUFFIX = re.compile(r"(?s)^(?P<text>.*)@(?P<type>int|float|str|bool|list|dict|tuple)$")
_TYPES: dict[str, type] = {t.__name__: t for t in (int, float, str, bool, list, dict, tuple)}
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0", ""}


def parse_value(text: str, annotation: Any) -> Any:
    """A text as an object for a field of the given annotation. Nothing is ever evaluated.

    ``value@type`` is read as a literal of that type. Otherwise fields that take text get it as
    it stands, and all others a Python literal where the text is one.

    Raises:
        LiteralError: when a ``@type`` suffix does not fit its value.
    """
    suffixed = _SUFFIX.match(text)
    if suffixed:
        return _typed(suffixed["text"].strip(), suffixed["type"])
    members = _members(annotation)
    if type(None) in members and text.lower() in ("", "none"):
        return None
    if str in members or Path in members:
        return text
    if bool in members and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    try:
        return _literal(text)
    except ValueError:
        return text


def _literal(text: str) -> Any:
    """A Python literal; nothing is evaluated.

    Raises:
        ValueError: when it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # such as for 1a: the message says it
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError(str(error)) from None


def _typed(text: str, name: str) -> Any:
    if name == "str":
        return text
    if name == "bool":
        if text.lower() not in _TRUE | _FALSE:
            raise LiteralError(f"{text!r} is no bool; write True@bool or False@bool")
        return text.lower() in _TRUE
    try:
        found = _literal(text)
    except ValueError:
        raise LiteralError(f"{text!r} is no {name}, as @{name} says") from None
    wanted = _TYPES[name]
    if name == "float" and isinstance(found, int) and not isinstance(found, bool):
        return float(found)
    if not isinstance(found, wanted) or isinstance(found, bool):
        raise LiteralError(f"{text!r} is of type {type(found).__name__}, but @{name} says {name}")
    return found


def _members(annotation: Any) -> set[Any]:
    """The types that an annotation admits, literals as the types of their values."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return set().union(*(_members(a) for a in typing.get_args(annotation)))
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        # "auto | 4" holds text and a number: the text is tried as a literal first
        return {f"literal {type(a).__name__}" for a in typing.get_args(annotation)}
    return {annotation}


def takes_path(annotation: Any) -> bool:
    """Whether a field holds a path, which is then relative to the INI file's folder."""
    return Path in _members(annotation)


def absolute(text: str, origin: ConfigOrigin) -> str:
    """Relative paths are relative to the INI file's folder; options' to the working folder."""
    path = Path(text).expanduser()
    if path.is_absolute():
        return str(path)
    folder = Path(origin.file).parent if origin.file and origin.line else Path()
    return str((folder / path).resolve())


def format_value(value: Any) -> str:
    """A value as INI text that :func:`read_text` reads back."""
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return f"{value:.1f}"
    if isinstance(value, tuple | list):
        return repr(list(value))
    return str(value)

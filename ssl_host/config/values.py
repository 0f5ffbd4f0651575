"""Define configuration values with their origin, and convert between text and values."""

from __future__ import annotations

import ast
import re
import types
import typing
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from ssl_host.config.quoting import QuoteError, is_quoted_text, needs_quotes, quote, unquote

Key = tuple[str, str]
"""Section and key of a setting, such as ``("run", "epochs")``."""


@dataclass(frozen=True)
class ConfigOrigin:
    """Origin of a value: the layer, and the file and line if it comes from a file.

    Attributes:
        layer: the name of the layer, such as ``file``, ``option``, ``preset simclr/cifar10`` or
            ``method simclr``.
        file: the path of the INI file, or the text of the option; empty for other layers.
        line: the line in the file, from 1; 0 if the value does not come from a file.
    """

    layer: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file and self.line else self.file or self.layer


@dataclass(frozen=True)
class ConfigValue:
    """Value of a setting in one layer, with its origin.

    Attributes:
        raw: the text from an INI file or an option, or any Python object.
        origin: where the value comes from, for messages.
        is_text: True if ``raw`` is text that still has to be parsed.
        is_quoted: True if the text was in quotes, so it is not read as a number, list or
            ``none``; references in it are replaced.
        comment: the comment after the value, with the spaces before it.
    """

    raw: Any
    origin: ConfigOrigin
    is_text: bool = False
    is_quoted: bool = False
    comment: str = ""


class LiteralError(Exception):
    """Raised when the text of a setting is not valid, such as ``a@int`` or an empty path."""


_SUFFIX = re.compile(r"(?s)^(?P<text>.*)@(?P<type>int|float|str|bool|list|dict|tuple)$")
_TYPES: dict[str, type] = {t.__name__: t for t in (int, float, str, bool, list, dict, tuple)}
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0", ""}
_BOOLEANS = {"true", "false"}
"""Words that are read as booleans in a setting that also accepts text."""
_LITERALS = {int, float, list, dict, tuple, set}


def parse_value(text: str, annotation: Any) -> Any:
    """Convert the text of a setting to a Python value, without running any code.

    ``value@type`` is parsed as a literal of that type. Otherwise the text is returned unchanged
    if it is not a Python literal, or if the field accepts text but not the literal's type. The
    value is not validated.

    Where only a sequence of texts is accepted, words need no quotes: ``a, b`` is ``["a", "b"]``.

    Args:
        text: the text, such as ``0.1``, ``[1, 2]``, ``true`` or ``100@int``.
        annotation: the type of the field, such as ``int | None``.

    Raises:
        LiteralError: if a ``@type`` suffix does not match its value.
    """
    suffixed = _SUFFIX.match(text)
    if suffixed:
        return _parse_typed(suffixed["text"].strip(), suffixed["type"])
    accepted = accepted_types(annotation)
    if type(None) in accepted and text.lower() in ("", "none"):
        return None
    is_text = bool(accepted & {str, Path})
    if not is_text and any(map(_is_sequence_of_text, accepted)):
        return _parse_words(text)
    if bool in accepted and text.lower() in (_BOOLEANS if is_text else _TRUE | _FALSE):
        return text.lower() in _TRUE
    literals = {typing.get_origin(a) or a for a in accepted} & _LITERALS
    if is_text and not literals:
        return text
    try:
        value = _parse_literal(text)
    except ValueError:
        return text
    return text if is_text and type(value) not in literals else value


def _is_sequence_of_text(annotation: Any) -> bool:
    """Return True for types such as ``tuple[str, ...]`` and ``list[Literal["a", "b"]]``."""
    if typing.get_origin(annotation) not in (list, tuple):
        return False
    items = [item for item in typing.get_args(annotation) if item is not Ellipsis]
    return set().union(*map(accepted_types, items)) <= {str, "literal str"}


def _parse_words(text: str) -> Any:
    """Return a list of texts from a literal such as ``["a", "b"]`` or from words and commas.

    Text with quotes that is not a list is returned unchanged, because commas in it may be part of
    the words.
    """
    try:
        value = _parse_literal(text)
    except ValueError:
        value = None
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return value
    if "'" in text or '"' in text:
        return text
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return [word for word in map(str.strip, text.split(",")) if word]


def _parse_literal(text: str) -> Any:
    """Return the value of a Python literal such as ``[1, 2]``.

    Raises:
        ValueError: if the text is not a literal.
    """
    try:
        with warnings.catch_warnings():
            # Python warns about text such as `1a`; our own message reports it.
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError(str(error)) from None


def _parse_typed(text: str, type_name: str) -> Any:
    """Parse text as a value of the named type.

    Raises:
        LiteralError: if the text is not a value of that type.
    """
    if type_name == "str":
        return _remove_quotes(text)
    if type_name == "bool":
        if text.lower() not in _TRUE | _FALSE:
            raise LiteralError(f"{text!r} is not a bool; write True@bool or False@bool")
        return text.lower() in _TRUE
    try:
        value = _parse_literal(text)
    except ValueError:
        raise LiteralError(
            f"{text!r} is not of type {type_name}, which @{type_name} requires; if @{type_name} is "
            "part of the text, put the text in quotes"
        ) from None
    if type_name == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, _TYPES[type_name]) or isinstance(value, bool):
        actual = type(value).__name__
        raise LiteralError(f"{text!r} is of type {actual}, but @{type_name} requires {type_name}")
    return value


def _remove_quotes(text: str) -> str:
    """Remove quotes that enclose a whole text.

    Raises:
        LiteralError: if an escape in the quotes is invalid.
    """
    if not is_quoted_text(text):
        return text
    try:
        return unquote(text)[0]
    except QuoteError as error:
        raise LiteralError(str(error)) from None


def accepted_types(annotation: Any) -> set[Any]:
    """Return the set of types that an annotation accepts; a union is split into its members.

    A ``Literal`` is represented by texts such as ``literal str``.
    """
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return set().union(*(accepted_types(a) for a in typing.get_args(annotation)))
    if origin is typing.Annotated:
        return accepted_types(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        # Not `str`: for "auto" | int the text must be tried as a number first.
        return {f"literal {type(a).__name__}" for a in typing.get_args(annotation)}
    return {annotation}


def format_value(value: Any, annotation: Any = Any) -> str:
    """Return a value as INI text that is read back as the same value.

    Text is put in quotes if it would otherwise be read as a different value.

    Args:
        value: the value.
        annotation: the type of the setting that reads the text, such as ``int | None``.
    """
    value = to_jsonable_python(value, fallback=str)
    if isinstance(value, str):
        text = escape_references(value)
        return quote(text) if needs_quotes(text) or _is_misread(value, annotation) else text
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"{value:.1f}"
    return escape_references(repr(value))


def format_recipe_value(value: Any) -> str:
    """Return a value of a recipe as INI text; strings such as ``${a.b}`` are INI text already."""
    return value if isinstance(value, str) else format_value(value)


def _is_misread(text: str, annotation: Any) -> bool:
    """Return True if a text would be read as a different value if it is not quoted."""
    try:
        return bool(parse_value(text, annotation) != text)
    except LiteralError:
        return True


def escape_references(text: str) -> str:
    """Return a text with ``$${`` in place of ``${``, so that it is not read as a reference."""
    return text.replace("${", "$${")

"""Handle quoted values and trailing comments in the lines of INI files."""

from __future__ import annotations

import json
import re

_COMMENT = re.compile(r"(^|\s)[#;].*$")
_QUOTED = re.compile(r"""(?s)"(?:[^"\\]|\\.)*"|'[^']*'""")
_STRING_OR_COMMENT = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<comment>(?:^|\s)[#;].*$)"""
)
_LITERAL_STARTS = ("[", "(", "{")
_QUOTES = ('"', "'")


class QuoteError(Exception):
    """Raised when a value is an incomplete quoted string or contains an invalid escape."""


def strip_comment(line: str, first: str | None = None) -> str:
    """Return the text of a value without its comment and surrounding spaces.

    A comment starts with ``#`` or ``;`` at the beginning or after a space. In a value that is
    quoted, or that is a list or dict, these characters inside quotes do not start a comment.

    Args:
        line: one line of a value.
        first: the first line of the same value if ``line`` is a later one.
    """
    start = (line if first is None else first).lstrip()
    if first is None and start.startswith(_QUOTES):
        quoted = _QUOTED.match(start)
        if quoted:
            return quoted[0] + _truncate_at_comment(start[quoted.end() :]).rstrip()
    if start.startswith((*_LITERAL_STARTS, *_QUOTES)):
        return _truncate_at_comment(line).strip()
    return _COMMENT.sub("", line).strip()


def _truncate_at_comment(line: str) -> str:
    """Return a line up to its comment, ignoring ``#`` and ``;`` in quoted strings."""
    for found in _STRING_OR_COMMENT.finditer(line):
        if found["comment"] is not None:
            return line[: found.start()]
    return line


def unquote(text: str) -> tuple[str, bool]:
    r"""Return a value without its quotes, and True if it was quoted.

    As in TOML, backslashes are escapes in double quotes (``"\n"``, ``"\\"``, ``"\u00e9"``) and
    ordinary characters in single quotes.

    Raises:
        QuoteError: if the text starts with a quote but is not a complete quoted string, or if an
            escape is invalid.
    """
    if not text.startswith(_QUOTES):
        return text, False
    quoted = _QUOTED.match(text)
    if quoted is None:
        raise QuoteError(
            f"{text} has no closing quote {text[0]}; if the quote is part of the text, write "
            f"{quote(text)}"
        )
    rest = text[quoted.end() :].lstrip()
    if rest.startswith((",", "@")):  # a list without brackets, or a value with its type
        return text, False
    if rest:
        raise QuoteError(
            f"{text} has text after its closing quote; to use the whole text, write {quote(text)}"
        )
    if text[0] == "'":
        return text[1:-1], True
    try:
        return str(json.loads(text, strict=False)), True
    except ValueError:
        raise QuoteError(
            f"{text} has a backslash that does not start an escape such as \\n; write \\\\, or "
            "use single quotes"
        ) from None


def is_quoted_text(text: str) -> bool:
    """Return True if a text is one quoted string, such as ``"text"`` in ``"text"@str``."""
    return _QUOTED.fullmatch(text) is not None


def quote(text: str) -> str:
    """Return text in double quotes, with escapes, so that :func:`unquote` restores it."""
    escaped = (c if c.isprintable() and c not in '"\\' else json.dumps(c)[1:-1] for c in text)
    return f'"{"".join(escaped)}"'


def needs_quotes(text: str) -> bool:
    """Return True if a text must be quoted in an INI file."""
    return (
        not text.isprintable()
        or text != text.strip()
        or text.startswith((*_QUOTES, *_LITERAL_STARTS))
        or strip_comment(text) != text
    )

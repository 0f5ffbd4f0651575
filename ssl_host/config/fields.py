"""Convert the value of one setting: parse its text and make its paths absolute."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from ssl_host.config.values import (
    ConfigOrigin,
    ConfigValue,
    LiteralError,
    accepted_types,
    parse_value,
)

_PATH_IN_COMMENT = re.compile(r"\s+[#;](?!n/a)(?!\w+://)[^\s#;]*[/\\]")
"""Matches comments that look like the rest of a path, such as `` #2/runs``, but not URLs."""


def parse_field(value: ConfigValue, annotation: Any) -> Any:
    """Parse the text of a setting, make relative paths absolute, and return the value.

    Args:
        value: the value; its references are already replaced.
        annotation: the type of the field.

    Raises:
        LiteralError: if a ``@type`` suffix does not match its value, a path is empty or is cut off
            at a ``#`` in its name, or text is not valid Unicode.
    """
    raw = value.raw
    if value.is_text and not value.is_quoted and isinstance(raw, str):
        raw = parse_value(raw, annotation)
    raw = _absolute_paths(raw, annotation, value.origin)
    is_path = isinstance(raw, str) and Path in accepted_types(annotation)
    is_complete = value.is_quoted or str(value.raw).endswith("@str")
    if value.comment and not is_complete and is_path:
        _check_comment(raw, value)
    try:
        to_json(raw, fallback=str)
    except ValueError:
        raise LiteralError(
            f"{raw!a} is not valid Unicode, so config.ini cannot contain it; rename the file or "
            "folder"
        ) from None
    return raw


def _check_comment(path: str, value: ConfigValue) -> None:
    """Raise LiteralError if the comment after a path is probably the rest of the path.

    The whole path need not exist: it may be a pattern, or a folder for future runs.
    """
    comment = value.comment.strip()
    rest = value.comment.rstrip()
    is_typed = rest.endswith("@str")
    # Up to its first slash, the comment may complete the name of a file or folder.
    beginning = path + rest.removesuffix("@str").split("/")[0].rstrip()
    advice = "put the path in quotes"
    if _exists(beginning):
        raise LiteralError(f"{comment!r} is read as a comment, but {beginning} exists; {advice}")
    if is_typed:
        raise LiteralError(f"{comment!r} is read as a comment; {advice}")
    if _PATH_IN_COMMENT.match(value.comment) and not _exists(path):
        raise LiteralError(
            f"{comment!r} is read as a comment, but {path} does not exist; {advice}, or add a "
            f"space after {comment[0]}"
        )


def _exists(path: str) -> bool:
    """Return True if a file or folder exists."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # for example because a comment is too long for a name
        return False


def _absolute_paths(raw: Any, annotation: Any, origin: ConfigOrigin) -> Any:
    """Return a value in which relative paths are absolute, including those in a list.

    Only text that the annotation accepts as a path is changed.
    """
    accepted = accepted_types(annotation)
    if isinstance(raw, str | Path) and Path in accepted:
        return absolute_path(str(raw), origin)
    if isinstance(raw, list | tuple):
        for member in accepted:
            if typing.get_origin(member) in (list, tuple) and typing.get_args(member):
                item_type = typing.get_args(member)[0]
                return type(raw)(_absolute_paths(item, item_type, origin) for item in raw)
    return raw


def absolute_path(text: str, origin: ConfigOrigin) -> str:
    """Make a path absolute by resolving it against the folder of its INI file.

    A relative path that does not come from a file is resolved against the working directory.

    Raises:
        LiteralError: if the text is empty, or names the home folder of an unknown user.
    """
    if not text:
        raise LiteralError("is empty, but should be a path, such as ./images")
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        name = text.split("/", maxsplit=1)[0]
        raise LiteralError(
            f"{name} is not a user's home folder; for a name that starts with ~, write ./{text}"
        ) from None
    if path.is_absolute():
        return str(path)
    return str((origin_folder(origin) / path).resolve())


def origin_folder(origin: ConfigOrigin) -> Path:
    """Return the folder against which relative paths from an origin are resolved."""
    return Path(origin.file).parent if origin.file and origin.line else Path()

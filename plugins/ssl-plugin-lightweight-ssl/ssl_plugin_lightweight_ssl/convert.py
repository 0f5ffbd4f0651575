"""Convert a Lightweight-SSL file to the text of an ssl-host configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ssl_host import (
    KINDS,
    Catalog,
    ConfigError,
    Problem,
    format_value,
    parse_ini_layer,
    read_config_text,
)
from ssl_plugin_lightweight_ssl.dialect import is_flat_config, translate
from ssl_plugin_lightweight_ssl.keys import FLAT

_KEY = re.compile(r"^[\w.]+\s*=")
_HEADER_COMMENT = re.compile(r"\s(#+.*)$")
_SECTION_ORDER = ("run", "loader", "trainer", "checkpoint", *KINDS)


@dataclass
class _Comments:
    """Comments on one key: the lines above it and the inline comment."""

    above: list[str] = field(default_factory=list)
    inline: str = ""


def convert_file(path: Path, catalog: Catalog) -> str:
    """Return a Lightweight-SSL file as the text of an ssl-host configuration, with comments.

    Args:
        path: path of the file.
        catalog: the installed components.

    Raises:
        ConfigError: if the file is not a Lightweight-SSL file, or is invalid; the message lists
            every problem.
    """
    text = read_config_text(path)
    if not is_flat_config(text):
        message = "is not a Lightweight-SSL file: ssl_method is not set before the first section"
        raise ConfigError([Problem(str(path), message)])
    layer = translate(path, text, catalog)
    source = parse_ini_layer(text, path, default_section=FLAT)
    inline = {value.origin.line: value.comment.strip() for value in source.values.values()}
    comments, other_comments = _collect_comments(text, inline)
    body: list[str] = []
    for section in sorted(layer.sections(), key=_position):
        body += ["", f"[{section}]"] if body else [f"[{section}]"]
        for key, value in layer.section(section).items():
            # One line may become two keys; the first key gets the comments.
            comment = comments.pop(value.origin.line, _Comments())
            behind = f"  {comment.inline}" if comment.inline else ""
            body += [*comment.above, f"{key} = {format_value(value.raw)}{behind}"]
    for comment in comments.values():  # comments on keys that have no effect
        other_comments += [line for line in (*comment.above, comment.inline) if line]
    head = [*other_comments, *(f"# {note.partition(': ')[2]}" for note in layer.notes)]
    return "\n".join([*head, *([""] if head else []), *body]) + "\n"


def _position(section: str) -> int:
    """Return the position of a section in the written file."""
    return _SECTION_ORDER.index(section.partition(".")[0])


def _collect_comments(text: str, inline: dict[int, str]) -> tuple[dict[int, _Comments], list[str]]:
    """Return the comments on keys, keyed by the key's line number, and all other comments.

    Args:
        text: the text of the file.
        inline: the comment after each value, keyed by line number.
    """
    by_line: dict[int, _Comments] = {}
    pending: list[str] = []
    others: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#"):
            pending.append(stripped)
        elif _KEY.match(stripped):
            by_line[number] = _Comments(pending, inline.get(number, ""))
            pending = []
        elif stripped.startswith("["):
            header = _HEADER_COMMENT.search(line)
            others += [*pending, *([header[1]] if header else [])]
            pending = []
    return by_line, [*others, *pending]

"""A file of the older dialect as today's INI, comments kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.ini import read_config_text
from ssl_host.config.older import is_older, older_layer
from ssl_host.config.schema import HOST_SECTIONS, SINGLE_KINDS
from ssl_host.config.values import format_value
from ssl_host.errors import ConfigError, Problem

_KEY = re.compile(r"^[\w.]+\s*=")
_INLINE = re.compile(r"\s(#+.*)$")


@dataclass
class _Comments:
    """What stands above a line and behind it."""

    above: list[str] = field(default_factory=list)
    inline: str = ""


def convert(path: Path, catalog: Catalog) -> str:
    """Today's form of an older file.

    Raises:
        ConfigError: when the file is not of the older dialect, or wrong.
    """
    text = read_config_text(path)
    if not is_older(text):
        message = "is not in the older dialect (no ssl_method before the first section)"
        raise ConfigError([Problem(str(path), message)])
    layer, notes = older_layer(path, text, catalog)
    comments, rest = _comments(text)
    order = [*HOST_SECTIONS, *SINGLE_KINDS]
    rank = {name: i for i, name in enumerate(order)}
    sections = sorted(layer.sections(), key=lambda s: rank.get(s.split(".")[0], len(rank)))
    lines: list[str] = []
    for section in sections:
        lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
        for key, value in layer.section(section).items():
            # A line that became two keys keeps its comments once.
            own = comments.pop(value.origin.line, _Comments())
            behind = f"  {own.inline}" if own.inline else ""
            lines += [*own.above, f"{key} = {format_value(value.raw)}{behind}"]
    left = [
        *rest,
        *(text for own in comments.values() for text in (*own.above, own.inline) if text),
    ]
    remarks = [note.partition(": ")[2] for note in notes]
    head = [*left, *(f"# {remark}" for remark in remarks)]
    return "\n".join([*head, *([""] if head else []), *lines]) + "\n"


def _comments(text: str) -> tuple[dict[int, _Comments], list[str]]:
    """Comments by the line of the key they belong to, and those that belong to none."""
    found: dict[int, _Comments] = {}
    pending: list[str] = []
    loose: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#"):
            pending.append(stripped)
        elif _KEY.match(stripped):
            behind = _INLINE.search(line)
            found[number] = _Comments(pending, behind[1] if behind else "")
            pending = []
        elif stripped.startswith("["):
            loose += pending
            behind = _INLINE.search(line)
            loose += [behind[1]] if behind else []
            pending = []
    return found, [*loose, *pending]

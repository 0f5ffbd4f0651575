"""Write the chosen settings as a commented INI file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from ssl_host import format_value
from ssl_plugin_init.choices import Choice

LINE = 100
"""Longest line of a comment, in characters."""


def to_sections(choices: Iterable[Choice]) -> dict[str, dict[str, object]]:
    """Return choices as values by section and key, as :func:`ssl_host.run` takes them."""
    sections: dict[str, dict[str, object]] = {}
    for choice in choices:
        section = sections.setdefault(choice.section, {})
        if choice.key:
            section[choice.key] = choice.value
    return sections


def to_ini(
    choices: Sequence[Choice], heading: Sequence[str], ending: Sequence[str], folder: Path
) -> str:
    """Return choices as an INI file in which a comment above a value says why it was chosen.

    Args:
        choices: the choices; those of one section follow each other.
        heading: paragraphs of the comment at the start of the file.
        ending: paragraphs of the comment at the end.
        folder: folder of the file; paths below it are written relative to it.
    """
    blocks = [_comment(heading)]
    for section, group in groupby(choices, key=lambda choice: choice.section):
        lines = [f"[{section}]"]
        for choice in group:
            if choice.reason:
                lines += _wrap(choice.reason)
            if choice.key:
                lines.append(f"{choice.key} = {_format(choice.value, folder)}")
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, *([_comment(ending)] if ending else [])]) + "\n"


def _format(value: object, folder: Path) -> str:
    """Return a value as INI text; a path below the folder of the file is relative to it."""
    if isinstance(value, Path) and value.is_relative_to(folder.resolve()):
        value = value.relative_to(folder.resolve())
    return format_value(value, type(value))


def _comment(paragraphs: Iterable[str]) -> str:
    """Return paragraphs as comment lines."""
    return "\n".join(line for text in paragraphs for line in _wrap(text))


def _wrap(text: str) -> list[str]:
    """Return a text as comment lines of limited length; the lines of a list item are indented."""
    indent = "#   " if text.startswith("- ") else "# "
    return textwrap.wrap(
        text, LINE, initial_indent="# ", subsequent_indent=indent, break_long_words=False
    )

"""Griffe extension: docstrings with Sphinx roles and literal blocks as Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:`~?\.?([^`]+)`")
LITERAL_BLOCK = re.compile(r"::(?=\n\s*\n)")


def as_markdown(text: str) -> str:
    """Return a docstring's text with roles and ``code`` as Markdown."""
    text = ROLE.sub(r"`\1`", text).replace("``", "`")
    return LITERAL_BLOCK.sub(":", text)


class RolesAsMarkdown(griffe.Extension):
    """Converts every docstring before mkdocstrings parses it."""

    def on_object(self, *, obj: griffe.Object, **_kwargs: Any) -> None:
        """Convert the docstring of one module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

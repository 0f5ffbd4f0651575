"""Griffe extension: docstrings with Sphinx roles as Markdown, fields with plain types."""

from __future__ import annotations

import inspect
import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:`~?\.?([^`]+)`")
LITERAL_BLOCK = re.compile(r"::(?=\n\s*\n)")


def as_markdown(text: str) -> str:
    """Return a docstring's text with roles and ``code`` as Markdown."""
    text = ROLE.sub(r"`\1`", text).replace("``", "`")
    return LITERAL_BLOCK.sub(":", text)


class PlainDocstrings(griffe.Extension):
    """Prepares docstrings and annotations for mkdocstrings."""

    def on_object(self, *, obj: griffe.Object, **_kwargs: Any) -> None:
        """Convert the docstring of one module, class, function or attribute."""
        if obj.docstring is None:
            return
        if obj.docstring.value.rstrip().endswith("Attributes:"):
            # The module adds the attributes when it is imported.
            obj.docstring.value = inspect.getdoc(griffe.dynamic_import(obj.path)) or ""
        obj.docstring.value = as_markdown(obj.docstring.value)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_kwargs: Any) -> None:
        """Show ``Annotated[float, Field(...)]`` as ``float``."""
        annotation = attr.annotation
        if isinstance(annotation, griffe.ExprSubscript) and str(annotation.left) == "Annotated":
            elements = getattr(annotation.slice, "elements", [annotation.slice])
            attr.annotation = elements[0]

"""Page of the signatures of all public names, which can be read without building the site."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docstrings import as_markdown

import ssl_host

PYTHON_PAGE = Path(__file__).parent / "reference" / "python.md"
INTRODUCTION = """# Signatures

Every public name with its signature and the first sentence of its docstring, in the order of the
[Python API](python.md), which has the full text when the site is built (`make docs`).
"""


def signatures_page() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION]
    for line in PYTHON_PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            parts.append(f"\n{line}\n")
        elif found := re.fullmatch(r"::: ssl_host\.(\w+)", line):
            block = "\n".join(_describe(found[1], getattr(ssl_host, found[1])))
            parts.append(f"\n```text\n{block}\n```\n")
    return "".join(parts)


def _describe(name: str, value: Any) -> Iterator[str]:
    """Yield the lines for one public name; for a class, also those of its public methods."""
    if inspect.isclass(value):
        bases = ", ".join(b.__name__ for b in value.__bases__ if b is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        yield f"    {_summary(value)}"
        if "__init__" in vars(value):
            yield f"    {name}{_signature(value)}"
        for attribute, member in sorted(vars(value).items()):
            if not attribute.startswith("_"):
                yield from _describe_member(attribute, member)
    elif callable(value):
        yield f"{name}{_signature(value)}"
        yield f"    {_summary(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def _describe_member(name: str, member: Any) -> Iterator[str]:
    """Yield the lines for a method or property of a class; none for other attributes."""
    function = getattr(member, "__func__", member)
    if isinstance(member, property) or type(member).__name__ == "cached_property":
        getter = getattr(member, "fget", None) or member.func
        kind = inspect.signature(getter).return_annotation
        yield f"    {name}: {_plain(kind)}"
        yield f"        {_summary(member)}"
    elif inspect.isfunction(function) and function.__doc__:
        yield f"    {name}{_signature(function)}"
        yield f"        {_summary(function)}"


def _signature(function: Any) -> str:
    """Return a signature without ``self`` and without quotes around annotations."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # a class made by an extension module
        return "(...)"
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    return _plain(str(signature.replace(parameters=parameters)))


def _plain(annotation: Any) -> str:
    """Return an annotation or signature as written in the source."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "Any")
    return re.sub(r"'([^']*)'(?=[,)\]=]| =|$)", r"\1", text).replace("typing.", "")


def _summary(value: Any) -> str:
    """Return the first paragraph of a docstring as one line."""
    text = as_markdown(inspect.getdoc(value) or "").split("\n\n")[0]
    return " ".join(text.split()).replace("`", "")

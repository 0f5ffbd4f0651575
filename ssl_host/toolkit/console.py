"""The terminal, for words that come from files, plugins and errors."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def make_console(**settings: Any) -> Console:
    """A console that takes no word for markup: messages are full of ``[section]``.

    Args:
        settings: of rich's ``Console``.
    """
    return Console(markup=False, highlight=False, **settings)

"""Console for messages that contain text of files, plugins and errors."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def make_console(**settings: Any) -> Console:
    """Return a rich console without markup, because messages contain ``[section]``.

    Args:
        settings: arguments of rich's ``Console``.
    """
    return Console(markup=False, highlight=False, **settings)

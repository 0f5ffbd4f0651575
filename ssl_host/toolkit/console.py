"""Console that prints messages literally, even if they contain text like ``[section]``."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def make_console(**settings: Any) -> Console:
    """Return a rich console that prints ``[section]`` literally, not as markup.

    Args:
        settings: additional keyword arguments for rich's ``Console``.
    """
    return Console(markup=False, highlight=False, **settings)

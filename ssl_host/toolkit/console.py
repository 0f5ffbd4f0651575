"""Console that prints messages as they are, even if they contain text like ``[section]``."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def make_console(**settings: Any) -> Console:
    """Return a rich console that does not interpret markup, as messages contain ``[section]``.

    Args:
        settings: further keyword arguments of rich's ``Console``.
    """
    return Console(markup=False, highlight=False, **settings)

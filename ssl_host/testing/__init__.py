"""Conformance kit: checks that the components of a plugin meet the host's contract.

In a plugin's tests, one line creates a pytest case for each check::

    from ssl_host.testing import conformance

    test_conforms = conformance("method", "nnclr")

``check_method("nnclr")`` runs all checks at once; there is one such function for each kind of
component. On the command line, ``ssl-host plugin check ssl-plugin-nnclr`` does the same. Importing
this module does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ssl_host.contracts.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ssl_host.testing.commands import run_command as run_command
    from ssl_host.testing.distributed import run_distributed as run_distributed
    from ssl_host.testing.harness import MethodCase as MethodCase
    from ssl_host.testing.outcome import ConformanceError as ConformanceError
    from ssl_host.testing.outcome import Outcome as Outcome
    from ssl_host.testing.reference import assert_matches_reference as assert_matches_reference
    from ssl_host.testing.suite import check_component as check_component
    from ssl_host.testing.suite import checks_of as checks_of
    from ssl_host.testing.suite import conformance as conformance
    from ssl_host.testing.target import CheckTarget as CheckTarget

_MODULES = {
    "ConformanceError": "outcome",
    "MethodCase": "harness",
    "Outcome": "outcome",
    "CheckTarget": "target",
    "assert_matches_reference": "reference",
    "check_component": "suite",
    "checks_of": "suite",
    "conformance": "suite",
    "run_command": "commands",
    "run_distributed": "distributed",
}
"""Maps each public name to the module of ``ssl_host.testing`` that defines it."""

__all__ = [  # noqa: PLE0604 - the table's keys, kept in one place
    *_MODULES,
    *(f"check_{kind}" for kind in sorted(KINDS)),
]


def __getattr__(name: str) -> Any:
    """Return a public name, imported when it is first used; raise AttributeError if unknown."""
    if name in _MODULES:
        value = getattr(importlib.import_module(f"ssl_host.testing.{_MODULES[name]}"), name)
    elif name.startswith("check_") and name.removeprefix("check_") in KINDS:
        value = _check_function(name.removeprefix("check_"))
    else:
        raise AttributeError(f"module 'ssl_host.testing' has no attribute {name!r}")
    globals()[name] = value
    return value


def _check_function(kind: str) -> Callable[..., tuple[Outcome, ...]]:
    """Return the public function ``check_<kind>``, which runs all checks of that kind."""

    def check(
        target: str | type, *, skip: Collection[str] = (), **settings: Any
    ) -> tuple[Outcome, ...]:
        outcomes: tuple[Outcome, ...] = __getattr__("check_component")(
            kind, target, skip=skip, **settings
        )
        return outcomes

    check.__name__ = check.__qualname__ = f"check_{kind}"
    check.__doc__ = (
        f"Run all checks of the kind ``{kind}`` on a component.\n\n"
        f'See :func:`check_component`, which is called with kind ``"{kind}"``.'
    )
    return check

"""Conformance kit: tests that the components of a plugin keep the host's contract.

In the tests of a plugin one line creates a pytest case per check::

    from ssl_host.testing import conformance

    test_conforms = conformance("method", "nnclr")

``check_method("nnclr")`` and the functions of the other kinds run all checks at once, and so does
``ssl-host plugin check ssl-plugin-nnclr`` in a shell. Importing this module imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ssl_host.testing.distributed import run_distributed as run_distributed
    from ssl_host.testing.harness import MethodCase as MethodCase
    from ssl_host.testing.outcome import ConformanceError as ConformanceError
    from ssl_host.testing.outcome import Outcome as Outcome
    from ssl_host.testing.suite import check_component as check_component
    from ssl_host.testing.suite import checks_of as checks_of
    from ssl_host.testing.suite import conformance as conformance
    from ssl_host.testing.target import CheckTarget as CheckTarget

_HOMES = {
    "ConformanceError": "outcome",
    "MethodCase": "harness",
    "Outcome": "outcome",
    "CheckTarget": "target",
    "check_component": "suite",
    "checks_of": "suite",
    "conformance": "suite",
    "run_distributed": "distributed",
}

__all__ = [  # noqa: PLE0604 - the table's keys, kept in one place
    *_HOMES,
    "check_augmentation",
    "check_backbone",
    "check_data",
    "check_evaluator",
    "check_head",
    "check_logger",
    "check_loss",
    "check_method",
    "check_optimizer",
    "check_scheduler",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ssl_host.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ssl_host.testing.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def _check_of(kind: str) -> Callable[..., tuple[Outcome, ...]]:
    def check(
        target: str | type, *, skip: Collection[str] = (), **settings: Any
    ) -> tuple[Outcome, ...]:
        found: tuple[Outcome, ...] = __getattr__("check_component")(
            kind, target, skip=skip, **settings
        )
        return found

    check.__name__ = check.__qualname__ = f"check_{kind}"
    check.__doc__ = (
        f"All checks of a {kind}, given by its registered name or as a class.\n\n"
        "See :func:`check_component`, which this is for one kind."
    )
    return check


check_augmentation = _check_of("augmentation")
check_backbone = _check_of("backbone")
check_data = _check_of("data")
check_evaluator = _check_of("evaluator")
check_head = _check_of("head")
check_logger = _check_of("logger")
check_loss = _check_of("loss")
check_method = _check_of("method")
check_optimizer = _check_of("optimizer")
check_scheduler = _check_of("scheduler")

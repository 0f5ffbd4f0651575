"""Whose fault it was: an exception of a component becomes a message with its distribution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ssl_host.catalog.entries import fault_place
from ssl_host.contracts.component import Component
from ssl_host.errors import PluginError, SslHostError
from ssl_host.toolkit.storage import is_storage_fault


@contextmanager
def blamed(component: Component, doing: str) -> Iterator[None]:
    """Whatever a component raises in this block is told as its fault.

    Args:
        doing: what was going on, such as ``while measuring 'knn'``.

    Raises:
        PluginError: with class, distribution, line and cause.
    """
    try:
        yield
    except (SslHostError, KeyboardInterrupt):
        raise
    except Exception as error:
        if is_storage_fault(error):
            raise  # a full disk is not the component's fault
        cls = type(component)
        origin = f", from {component.origin}" if component.origin else ""
        raise PluginError(
            f"{cls.kind} {cls.__qualname__} ({cls.__module__}{origin}) failed {doing}: "
            f"{type(error).__name__}: {error} ({fault_place(error, cls.__module__)})"
        ) from error

"""Whose fault it was: an exception of a component becomes a message with its distribution."""

from __future__ import annotations

from types import TracebackType

from ssl_host.catalog.registry import error_location
from ssl_host.contracts.component import Component
from ssl_host.errors import PluginError, SslHostError
from ssl_host.toolkit.atomic_io import is_disk_error


class attribute_errors:  # noqa: N801 - reads as the context that it is
    """Whatever a component raises in this block is told as its fault.

    Args:
        doing: what was going on, such as ``while measuring 'knn'``.

    Raises:
        PluginError: with class, distribution, line and cause.
    """

    __slots__ = ("component", "doing")  # entered several times a step

    def __init__(self, component: Component, doing: str) -> None:
        self.component = component
        self.doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, SslHostError):
            return
        if is_disk_error(error):
            return  # a full or failing disk is not the component's fault
        cls = type(self.component)
        origin = f", from {self.component.origin}" if self.component.origin else ""
        raise PluginError(
            f"{cls.kind} {cls.__qualname__} ({cls.__module__}{origin}) failed {self.doing}: "
            f"{type(error).__name__}: {error} ({error_location(error, cls.__module__)})"
        ) from error

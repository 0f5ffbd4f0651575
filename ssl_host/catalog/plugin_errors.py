"""Create errors that say which plugin failed, in which call and on which line."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TypeGuard

from ssl_host.catalog.registry import PluginOrigin, error_location
from ssl_host.errors import PluginError, SslHostError
from ssl_host.toolkit.atomic_io import is_disk_error

if TYPE_CHECKING:
    from ssl_host.contracts.component import Component


def is_plugin_fault(error: BaseException | None) -> TypeGuard[Exception]:
    """Return True if an error is a plugin's fault: neither an SslHostError nor a disk error."""
    return (
        isinstance(error, Exception)
        and not isinstance(error, SslHostError)
        and not is_disk_error(error)
    )


def hook_error(hook: str, owners: Mapping[str, PluginOrigin], error: Exception) -> PluginError:
    """Return the error to raise when a plugin fails in a hook.

    The deepest frame of the traceback that is in a plugin's module shows which plugin failed.

    Args:
        hook: name of the hook.
        owners: origins of the plugins that implement the hook, keyed by module name.
        error: the exception that was raised.
    """
    frames = traceback.walk_tb(error.__traceback__)
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in frames]
    module = next((name for name in reversed(modules) if name in owners), "")
    failed = [owners[module]] if module else owners.values()
    return PluginError(
        f"plugin {' or '.join(map(str, failed))} failed in hook {hook}: "
        f"{type(error).__name__}: {error} ({error_location(error, module)})"
    )


class attribute_errors:  # noqa: N801 - used like a function, in a with statement
    """Context manager that turns exceptions raised by a component into a PluginError.

    The host's own errors pass through, and so do errors from a full or failing disk, because they
    are not the component's fault.

    Args:
        component: the component that is called inside the context.
        action: what the component was doing, as a phrase such as ``while measuring 'knn'``; the
            message then says "... failed while measuring 'knn'".

    Raises:
        PluginError: when the component fails; the message names the class, the distribution, the
            cause and the line of code.
    """

    __slots__ = ("action", "component")  # created several times per step

    def __init__(self, component: Component, action: str) -> None:
        self.component = component
        self.action = action

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not is_plugin_fault(error):
            return
        cls = type(self.component)
        origin = f", from {self.component.origin}" if self.component.origin else ""
        failure = PluginError(
            f"{cls.kind} {cls.__qualname__} ({cls.__module__}{origin}) failed {self.action}: "
            f"{type(error).__name__}: {error} ({error_location(error, cls.__module__)})"
        )
        failure.component = self.component
        raise failure from error

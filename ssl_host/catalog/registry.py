"""Records of plugins and components; components are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from typing import Any, Literal

from ssl_host.errors import ContractError, PluginError

State = Literal["ready", "broken", "blocked"]


@dataclass(frozen=True)
class PluginOrigin:
    """Origin of a plugin: its entry point, distribution and version.

    Attributes:
        plugin: name of the entry point.
        distribution: name of the installed distribution.
        version: version of the distribution.
    """

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass
class Plugin:
    """Installed plugin: its origin, its components, and whether it could be loaded.

    Attributes:
        origin: entry point, distribution and version.
        module: module name in the entry point.
        state: ``ready``, ``broken`` or ``blocked``.
        reason: why the plugin is broken or blocked; empty if it is ready.
        components: ``(kind, name)`` of each component and preset that the plugin registered.
    """

    origin: PluginOrigin
    module: str
    state: State = "ready"
    reason: str = ""
    components: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """Registered component or preset, which is loaded when it is first used.

    Attributes:
        kind: kind of the component, or ``preset``.
        name: name of the component in INI files.
        reference: ``module:Object`` for a component, ``package:path`` for a preset.
        summary: one-line description, shown in lists.
        origin: the plugin that registered it.
    """

    kind: str
    name: str
    reference: str
    summary: str
    origin: PluginOrigin

    def load(self) -> Any:
        """Import the object that the reference names and return it.

        Raises:
            PluginError: when the import fails or the object does not exist; the message names
                the distribution, the reference and the cause.
        """
        module_name, _, attribute = self.reference.partition(":")
        try:
            component: Any = importlib.import_module(module_name)
            for name in attribute.split("."):
                component = getattr(component, name)
        except ContractError as error:
            raise PluginError(f"{self.describe()} breaks the plugin contract: {error}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything at import, even SystemExit
            raise PluginError(
                f"{self.describe()} cannot be imported: {type(error).__name__}: {error} "
                f"({error_location(error)}); upgrade {self.origin.distribution}, or block it "
                f"with `-p no:{self.origin.plugin}`"
            ) from error
        return component

    def describe(self) -> str:
        """Return a description for messages: ``loss 'x' (pkg.module:X, from ssl-plugin-x 1.0)``."""
        return f"{self.kind} '{self.name}' ({self.reference}, from {self.origin})"


_LIBRARIES = sys.stdlib_module_names | {
    "PIL",
    "numpy",
    "pluggy",
    "pydantic",
    "pytorch_lightning",
    "timm",
    "torch",
    "torchvision",
}
"""Packages to skip when looking for the line in a plugin that caused an error."""


def error_location(error: BaseException, module: str = "") -> str:
    """Return ``file:line`` of the deepest traceback frame that is not in a library.

    A plugin author needs the line in the plugin that called the library, not the line in the
    library.

    Args:
        error: the exception.
        module: name of the plugin's module, if known; the deepest frame in it is preferred.
    """
    frames = []
    in_module = ""
    trace = error.__traceback__
    while trace is not None:
        code, names = trace.tb_frame.f_code, trace.tb_frame.f_globals
        owner = str(names.get("__name__", "")).split(".")[0]
        frames.append((owner in _LIBRARIES, f"{code.co_filename}:{trace.tb_lineno}"))
        if module and names.get("__name__") == module:
            in_module = frames[-1][1]
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    if in_module:
        return in_module
    outside_libraries = [location for is_library, location in frames if not is_library]
    return (outside_libraries or [location for _, location in frames] or ["unknown line"])[-1]


def source_file(cls: type) -> str:
    """Return the path of the file that defines a class, or the module name if there is no file."""
    module = sys.modules.get(cls.__module__)
    return getattr(module, "__file__", None) or cls.__module__

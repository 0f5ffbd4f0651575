"""What the catalog knows of plugins and components, without having imported a component."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from typing import Any, Literal

from ssl_host.errors import ContractError, PluginError

State = Literal["ready", "broken", "blocked"]


@dataclass(frozen=True)
class PluginOrigin:
    """Where a plugin comes from.

    Attributes:
        plugin: name of the entry point.
        distribution: name of the installed distribution.
        version: its version.
    """

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass
class Plugin:
    """An entry point of the group ``ssl_host``, loaded or not.

    Attributes:
        reason: why it is broken or blocked, with what to do.
        components: ``(kind, name)`` of what it has registered.
    """

    origin: PluginOrigin
    module: str
    state: State = "ready"
    reason: str = ""
    components: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """A registered component or preset: a lazy reference with its origin."""

    kind: str
    name: str
    reference: str
    summary: str
    origin: PluginOrigin

    def load(self) -> Any:
        """Import the object.

        Raises:
            PluginError: when the import fails or the object is not there; it names the
                distribution, the reference and what went wrong.
        """
        module_name, _, attribute = self.reference.partition(":")
        try:
            found: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                found = getattr(found, part)
        except ContractError as error:
            raise PluginError(f"{self.describe()} breaks the plugin contract: {error}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything at import, SystemExit too
            raise PluginError(
                f"{self.describe()} cannot be imported: {type(error).__name__}: {error} "
                f"({error_location(error)}); upgrade {self.origin.distribution}, or block it "
                f"with `-p no:{self.origin.plugin}`"
            ) from error
        return found

    def describe(self) -> str:
        """``loss 'x' (pkg.module:Object, from ssl-plugin-x 1.0)``, for messages."""
        return f"{self.kind} '{self.name}' ({self.reference}, from {self.origin})"


_LIBRARIES = {"importlib", "numpy", "pluggy", "pydantic", "pytorch_lightning", "timm", "torch"}


def error_location(error: BaseException, module: str = "") -> str:
    """``file:line`` of where an error was raised: the deepest frame that is no library's.

    An author looks for the line of his own that gave a library what it could not take.

    Args:
        module: the author's, if known; its deepest frame is then taken.
    """
    places = []
    authors = ""
    trace = error.__traceback__
    while trace is not None:
        code, names = trace.tb_frame.f_code, trace.tb_frame.f_globals
        owner = str(names.get("__name__", "")).split(".")[0]
        if "importlib" not in code.co_filename:
            places.append((owner in _LIBRARIES, f"{code.co_filename}:{trace.tb_lineno}"))
            if module and names.get("__name__") == module:
                authors = places[-1][1]
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    if authors:
        return authors
    own = [place for is_library, place in places if not is_library]
    return (own or [place for _, place in places] or ["no place known"])[-1]


def source_file(cls: type) -> str:
    """The file in which a class is defined, for messages."""
    module = sys.modules.get(cls.__module__)
    return getattr(module, "__file__", None) or cls.__module__

"""Component under test: a registered name, or a class that is not registered yet."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.registry import Entry, PluginOrigin
from ssl_host.components import build_component
from ssl_host.contracts.settings import Settings
from ssl_host.testing.outcome import CheckFailure, NotApplicable


@dataclass(frozen=True)
class CheckTarget:
    """Component under test and its settings; it can be pickled for other processes.

    Attributes:
        kind: kind of the component, such as ``method``.
        component: registered name of the component, or its class.
        settings: settings of the component; for a method they may include whole sections, such as
            ``{"head.projector": {"output_dim": 8}}``.
    """

    kind: str
    component: str | type
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def name(self) -> str:
        """Registered name, or the name of the class if it is not registered."""
        return self.component if isinstance(self.component, str) else self.component.__name__

    @cached_property
    def catalog(self) -> Catalog:
        """Catalog of all installed components and this one; it is shared, so do not modify it."""
        if isinstance(self.component, str):
            return _installed_components(_search_path())
        catalog = Catalog()
        catalog.add(_entry(self.kind, self.name, self.component))
        return catalog

    @cached_property
    def entry(self) -> Entry:
        """Catalog entry of the component, with its kind, name and origin."""
        return self.catalog.find(self.kind, self.name)

    @cached_property
    def cls(self) -> Any:
        """Class of the component, which is a subclass of the base class of its kind."""
        return self.catalog.load(self.kind, self.name)

    def make_settings(self) -> Settings:
        """Return the validated settings of the component.

        Raises:
            NotApplicable: when a required setting is missing.
            CheckFailure: when a setting is invalid.
        """
        schema: type[Settings] = self.cls.Config
        required = [n for n, f in schema.model_fields.items() if f.is_required()]
        missing = [name for name in required if name not in self.settings]
        if missing:
            raise NotApplicable(
                f"it needs the setting {', '.join(missing)}; pass it to the check, for example "
                f"with -o {self.kind}.{missing[0]}=... on the command line"
            )
        try:
            return schema.model_validate(dict(self.settings))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise CheckFailure(
                f"the setting {key} = {first['input']!r} is invalid: {first['msg']}",
                "a component cannot be checked with invalid settings",
                "pass valid settings to the check, or widen the bounds in Config",
            ) from None

    def make(self, settings: Settings | None = None, **build_args: Any) -> Any:
        """Return an instance of the component.

        Args:
            settings: validated settings; None uses the settings of this target.
            build_args: arguments that the host passes to this kind, such as ``in_dim`` to a head.
        """
        settings = self.make_settings() if settings is None else settings
        return build_component(self.cls, settings, self.entry, build_args)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.component, str):
            return (CheckTarget, (self.kind, self.component, dict(self.settings)))
        cls = self.component
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        location = (cls.__module__, cls.__qualname__, file)
        return (_unpickle, (self.kind, location, dict(self.settings)))


def _search_path() -> tuple[tuple[str, int], ...]:
    """Return the folders in ``sys.path`` with their modification times in nanoseconds.

    Installing a package changes the modification time of its folder.
    """
    times = {}
    for folder in sys.path:
        times[folder] = 0
        with suppress(OSError):
            times[folder] = Path(folder).stat().st_mtime_ns
    return tuple(times.items())


@lru_cache(maxsize=1)
def _installed_components(_search_path: tuple[tuple[str, int], ...]) -> Catalog:
    """Return the catalog of installed components, cached until the search path changes."""
    return Catalog()


def _entry(kind: str, name: str, cls: type) -> Entry:
    """Return a catalog entry for a class that no plugin registers."""
    reference = f"{cls.__module__}:{cls.__qualname__}"
    return Entry(kind, name, reference, "", PluginOrigin("none", "no distribution yet", "0"))


def _unpickle(
    kind: str, location: tuple[str, str, str | None], settings: dict[str, Any]
) -> CheckTarget:
    """Return the target of a pickled class, importing its module by name or from its file.

    Args:
        kind: kind of the component.
        location: module name and qualified name of the class, and the file of the module or None.
        settings: settings of the component.
    """
    module_name, qualname, file = location
    try:
        value: Any = importlib.import_module(module_name)
    except ImportError:
        if file is None or not Path(file).exists():
            raise
        spec = importlib.util.spec_from_file_location(module_name, file)
        assert spec is not None
        assert spec.loader is not None
        value = sys.modules[module_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(value)
    for attribute in qualname.split("."):
        value = getattr(value, attribute)
    return CheckTarget(kind, value, settings)

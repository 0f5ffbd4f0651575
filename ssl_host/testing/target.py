"""What is checked: a component by its registered name, or a class that is not registered yet."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.registry import Entry, PluginOrigin
from ssl_host.compose import build_component
from ssl_host.contracts.settings import Settings
from ssl_host.testing.outcome import CheckFailure, NotApplicable


@dataclass(frozen=True)
class CheckTarget:
    """A component with the settings to check it with. Can be sent to another process.

    Attributes:
        target: its registered name, or the class.
        settings: of the component; for a method, sections besides: ``{"head.projector": {...}}``.
    """

    kind: str
    target: str | type
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def name(self) -> str:
        """Its registered name; a class that has none goes by its own, which no other can have."""
        return self.target if isinstance(self.target, str) else self.target.__name__

    @cached_property
    def catalog(self) -> Catalog:
        """All installed components, and this one."""
        catalog = Catalog()
        if not isinstance(self.target, str):
            catalog.add(_entry(self.kind, self.name, self.target))
        return catalog

    @cached_property
    def entry(self) -> Entry:
        """Where it is registered."""
        return self.catalog.find(self.kind, self.name)

    @cached_property
    def cls(self) -> Any:
        """The class, checked to be one of its kind."""
        return self.catalog.load(self.kind, self.name)

    def make_settings(self) -> Settings:
        """The component's settings, validated.

        Raises:
            NotApplicable: when a required setting has not been given.
        """
        schema: type[Settings] = self.cls.Config
        needed = [n for n, f in schema.model_fields.items() if f.is_required()]
        missing = [name for name in needed if name not in self.settings]
        if missing:
            raise NotApplicable(
                f"needs the setting {', '.join(missing)}: give it to the check, on the command "
                f"line as -o {self.kind}.{missing[0]}=..."
            )
        try:
            return schema.model_validate(dict(self.settings))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise CheckFailure(
                f"the setting {key} = {first['input']!r} is refused: {first['msg']}",
                "nothing can be checked with settings that are not valid",
                "give the check valid settings, or widen the bounds in Config",
            ) from None

    def make(self, settings: Settings | None = None, **context: Any) -> Any:
        """The component itself."""
        settings = self.make_settings() if settings is None else settings
        return build_component(self.cls, settings, self.entry, context)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.target, str):
            return (CheckTarget, (self.kind, self.target, dict(self.settings)))
        target = self.target
        file = getattr(sys.modules.get(target.__module__), "__file__", None)
        place = (target.__module__, target.__qualname__, file)
        return (_again, (self.kind, place, dict(self.settings)))


def _entry(kind: str, name: str, target: type) -> Entry:
    reference = f"{target.__module__}:{target.__qualname__}"
    return Entry(kind, name, reference, "", PluginOrigin("none", "no distribution yet", "0"))


def _again(kind: str, place: tuple[str, str, str | None], settings: dict[str, Any]) -> CheckTarget:
    """The subject of a class, in a process that has not imported it: by name, else by file."""
    module_name, qualname, file = place
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError:
        if file is None or not Path(file).exists():
            raise
        spec = importlib.util.spec_from_file_location(module_name, file)
        assert spec is not None
        assert spec.loader is not None
        found = sys.modules[module_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    for part in qualname.split("."):
        found = getattr(found, part)
    return CheckTarget(kind, found, settings)

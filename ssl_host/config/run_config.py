"""A valid configuration: settings ready to build from, each value with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ssl_host.catalog.registry import Entry
from ssl_host.config.schema import (
    CheckpointSettings,
    LoaderSettings,
    ProbeSettings,
    RunSettings,
    TrainerSettings,
)
from ssl_host.config.values import ConfigOrigin, Key, format_value
from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings


@dataclass(frozen=True)
class ComponentConfig:
    """A component as a section asks for it.

    Attributes:
        section: such as ``head.projector``.
        instance: such as ``projector``; the kind itself for kinds with one section.
        cls: the component's class.
        entry: where it is registered.
    """

    section: str
    kind: str
    instance: str
    name: str
    cls: type[Component]
    settings: Settings
    entry: Entry


@dataclass(frozen=True)
class ConfigEntry:
    """A value as ``config show`` and ``config.ini`` give it.

    Attributes:
        text: what to write so that it is read back; references to the environment stay.
    """

    value: Any
    text: str
    origin: ConfigOrigin
    description: str


@dataclass(frozen=True)
class RunConfig:
    """A valid configuration. Immutable; :meth:`with_value` makes a changed one.

    Attributes:
        host: the host's own sections.
        components: the components, by section.
        entries: every value, by section and key.
        notes: what was decided on the way and deserves a word in the report.
    """

    host: Mapping[str, Settings]
    components: Mapping[str, ComponentConfig]
    entries: Mapping[Key, ConfigEntry]
    notes: tuple[str, ...] = ()

    @property
    def run(self) -> RunSettings:
        """``[run]``."""
        found = self.host["run"]
        assert isinstance(found, RunSettings)
        return found

    @property
    def loader(self) -> LoaderSettings:
        """``[loader]``."""
        found = self.host["loader"]
        assert isinstance(found, LoaderSettings)
        return found

    @property
    def trainer(self) -> TrainerSettings:
        """``[trainer]``."""
        found = self.host["trainer"]
        assert isinstance(found, TrainerSettings)
        return found

    @property
    def checkpoint(self) -> CheckpointSettings:
        """``[checkpoint]``."""
        found = self.host["checkpoint"]
        assert isinstance(found, CheckpointSettings)
        return found

    @property
    def probe(self) -> ProbeSettings:
        """``[probe]``."""
        found = self.host["probe"]
        assert isinstance(found, ProbeSettings)
        return found

    def of_kind(self, kind: str) -> list[ComponentConfig]:
        """The components of a kind, in the order of the sections."""
        return [part for part in self.components.values() if part.kind == kind]

    def values(self) -> dict[str, dict[str, Any]]:
        """Plain values by section; what came from the environment as the reference to it.

        Hooks and loggers are given these, and may write them where others read.
        """
        sections: dict[str, dict[str, Any]] = {}
        for (section, key), shown in self.entries.items():
            told = shown.text if "${env:" in shown.text else shown.value
            sections.setdefault(section, {})[key] = told
        return sections

    def with_value(self, section: str, key: str, value: Any, layer: str) -> RunConfig:
        """The same with one of the host's values settled, such as a precision that was auto."""
        settings = self.host[section].model_copy(update={key: value})
        old = self.entries[section, key]
        new = replace(old, value=value, text=format_value(value), origin=ConfigOrigin(layer))
        return replace(
            self,
            host={**self.host, section: settings},
            entries={**self.entries, (section, key): new},
        )

    def to_ini(self) -> str:
        """``config.ini``: running it gives the same run."""
        lines: list[str] = []
        current = None
        for (section, key), shown in self.entries.items():
            if section != current:
                lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
                current = section
            if shown.value is not None and (section, key) != ("run", "extends"):
                lines.append(f"{key} = {shown.text}")
        return "\n".join(lines) + "\n"

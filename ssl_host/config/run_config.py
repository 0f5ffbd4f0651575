"""Define the configuration of a run: validated settings with the origin of each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ssl_host.catalog.discovery import did_you_mean
from ssl_host.catalog.registry import Entry
from ssl_host.config.messages import validate_settings
from ssl_host.config.named_sections import named_section, names_of_sections
from ssl_host.config.schema import (
    CheckpointSettings,
    EvaluateSettings,
    LoaderSettings,
    ProbeSettings,
    RunSettings,
)
from ssl_host.config.trainer_schema import TrainerSettings
from ssl_host.config.values import ConfigOrigin, Key, format_value
from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class ComponentConfig:
    """Component configured in a section: its kind, name, class and validated settings.

    Attributes:
        section: the name of the section, such as ``head.projector``.
        kind: the kind of the component, such as ``head``.
        instance: the text after the dot in the section name, such as ``projector``; for kinds with
            only one section, the kind itself.
        name: the registered name of the component, such as ``mlp``.
        cls: the class of the component.
        settings: the validated settings.
        entry: the catalog entry of the component, which also names its plugin.
        host_values: values of the keys that the host reads itself, such as ``data`` of an
            evaluator or ``init_from`` of a network ``[backbone.NAME]``.
        network_references: maps each setting that refers to a width of a network to its reference,
            such as ``backbone.teacher.feature_dim``; ``settings`` has a placeholder for each.
    """

    section: str
    kind: str
    instance: str
    name: str
    cls: type[Component]
    settings: Settings
    entry: Entry
    host_values: Mapping[str, Any] = field(default_factory=dict)
    network_references: Mapping[str, str] = field(default_factory=dict)

    @property
    def init_from(self) -> Path | None:
        """Path of the weights of a network ``[backbone.NAME]``; None for all other components."""
        path = self.host_values.get("init_from")
        return None if path is None else Path(path)

    def sections_named(self) -> set[str]:
        """Return the sections that settings of this one name, such as ``backbone.large``."""
        values = {**dict(self.settings), **self.host_values}
        kinds = names_of_sections(self.kind, self.cls)
        return {named_section(kind, values[key]) for key, kind in kinds.items() if values.get(key)}

    @property
    def data(self) -> str | None:
        """Name of an evaluator's section ``[data.NAME]``; None if it uses ``[data]``."""
        return self.host_values.get("data")


@dataclass(frozen=True)
class ConfigEntry:
    """Final value of one setting, with its INI text, origin and description.

    Attributes:
        value: the validated value.
        text: the value as INI text; references to environment variables are not replaced.
        origin: the layer and location that the value comes from.
        description: the description of the setting.
        refers_to_environment: True if ``text`` contains a reference ``${env:NAME}``.
    """

    value: Any
    text: str
    origin: ConfigOrigin
    description: str
    refers_to_environment: bool = False


@dataclass(frozen=True)
class RunConfig:
    """Validated, immutable configuration of a run; :meth:`with_value` returns a changed copy.

    Attributes:
        host: maps each host section, such as ``run``, to its settings.
        components: maps each component section to its component.
        entries: maps the section and key of each setting to its entry.
        notes: remarks for the log and the report.
    """

    host: Mapping[str, Settings]
    components: Mapping[str, ComponentConfig]
    entries: Mapping[Key, ConfigEntry]
    notes: tuple[str, ...] = ()

    @property
    def run(self) -> RunSettings:
        """Settings of ``[run]``."""
        return self._host_settings("run", RunSettings)

    @property
    def loader(self) -> LoaderSettings:
        """Settings of ``[loader]``."""
        return self._host_settings("loader", LoaderSettings)

    @property
    def trainer(self) -> TrainerSettings:
        """Settings of ``[trainer]``."""
        return self._host_settings("trainer", TrainerSettings)

    @property
    def checkpoint(self) -> CheckpointSettings:
        """Settings of ``[checkpoint]``."""
        return self._host_settings("checkpoint", CheckpointSettings)

    @property
    def evaluate(self) -> EvaluateSettings:
        """Settings of ``[evaluate]``."""
        return self._host_settings("evaluate", EvaluateSettings)

    @property
    def probe(self) -> ProbeSettings:
        """Settings of ``[probe]``."""
        return self._host_settings("probe", ProbeSettings)

    def watched_metrics(self) -> dict[Key, str]:
        """Return the metrics that decide on stopping and on the best backbone, keyed by setting."""
        settings = {("checkpoint", "best"): self.checkpoint.best}
        settings["run", "stop_early"] = self.run.stop_early
        return {key: metric for key, metric in settings.items() if metric is not None}

    def of_kind(self, kind: str) -> list[ComponentConfig]:
        """Return all components of one kind, in the order of their sections."""
        return [component for component in self.components.values() if component.kind == kind]

    def values(self) -> dict[str, dict[str, Any]]:
        """Return all settings as ``{section: {key: value}}``, for hooks and loggers.

        A value from an environment variable is returned as the text ``${env:NAME}``, because
        loggers may write settings to places that other people can read.
        """
        sections: dict[str, dict[str, Any]] = {}
        for (section, key), entry in self.entries.items():
            value = entry.text if entry.refers_to_environment else entry.value
            sections.setdefault(section, {})[key] = value
        return sections

    def with_value(self, section: str, key: str, value: Any, layer: str) -> RunConfig:
        """Return a copy of the configuration in which one setting has a new value.

        Args:
            section: the section of the setting.
            key: the key of the setting; the ``name`` of a component cannot be changed.
            value: the new value.
            layer: the name of the layer that the value comes from, such as ``run folder``.

        Raises:
            ConfigError: if the section or key does not exist, or the value is invalid.
        """
        component = self.components.get(section)
        old = self.host.get(section) if component is None else component.settings
        if old is None:
            hint = did_you_mean(section, [*self.host, *self.components])
            raise ConfigError([Problem(layer, f"[{section}] unknown section{hint}")])
        settings = validate_settings(type(old), {**dict(old), key: value}, layer, section)
        final = getattr(settings, key)
        description = type(settings).model_fields[key].description or ""
        text = format_value(final, type(settings).model_fields[key].annotation)
        entry = ConfigEntry(final, text, ConfigOrigin(layer), description)
        entries = {**self.entries, (section, key): entry}
        if component is None:
            return replace(self, host={**self.host, section: settings}, entries=entries)
        changed = replace(component, settings=settings)
        return replace(self, components={**self.components, section: changed}, entries=entries)

    def to_ini(self) -> str:
        """Return the configuration as INI text that describes the same run."""
        lines: list[str] = []
        current_section = None
        for (section, key), entry in self.entries.items():
            if section != current_section:
                lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
                current_section = section
            # A default of None needs no line, but None may also override a value of a recipe.
            is_unset = entry.value is None and entry.origin.layer == "default"
            if not is_unset and (section, key) != ("run", "extends"):
                lines.append(f"{key} = {'none' if entry.value is None else entry.text}")
        return "\n".join(lines) + "\n"

    def _host_settings(self, section: str, schema: type[S]) -> S:
        """Return the settings of a host section, typed as ``schema``."""
        settings = self.host[section]
        assert isinstance(settings, schema)
        return settings

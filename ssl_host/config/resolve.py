"""Layers and catalog to a :class:`RunConfig` configuration, or to all its problems at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.discovery import did_you_mean
from ssl_host.config.component_lookup import ComponentLookup
from ssl_host.config.ini import read_config_text
from ssl_host.config.interpolation import InterpolationError, refers_to_environment, substitute
from ssl_host.config.layers import (
    ConfigLayer,
    merge_section,
    option_layer,
    preset_layers,
    python_layer,
    read_ini_layer,
)
from ssl_host.config.messages import explain
from ssl_host.config.older import is_older, older_layer
from ssl_host.config.run_config import ComponentConfig, ConfigEntry, RunConfig
from ssl_host.config.schema import (
    HOST_SECTIONS,
    INSTANCE_KINDS,
    SINGLE_KINDS,
)
from ssl_host.config.values import (
    ConfigOrigin,
    ConfigValue,
    Key,
    LiteralError,
    absolute,
    format_value,
    parse_value,
    takes_path,
)
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem


def resolve_file(path: Path, options: Sequence[str], catalog: Catalog) -> RunConfig:
    """An INI file, of today's form or the older project's, with options on top.

    Raises:
        ConfigError: with every problem found.
    """
    text = read_config_text(path)
    if is_older(text):
        layer, notes = older_layer(path, text, catalog)
        return resolve_layers([layer, option_layer(options)], catalog, path.stem, notes)
    return resolve_layers([read_ini_layer(path), option_layer(options)], catalog, path.stem)


def resolve_sections(
    sections: Mapping[str, Mapping[str, Any]], catalog: Catalog, options: Sequence[str] = ()
) -> RunConfig:
    """A configuration given in Python, as ``{"run": {"epochs": 10}, ...}``."""
    layers = [python_layer("python", sections), option_layer(options)]
    return resolve_layers(layers, catalog, "run")


def resolve_layers(
    user: Sequence[ConfigLayer], catalog: Catalog, name: str, notes: Sequence[str] = ()
) -> RunConfig:
    """Merge, check and freeze.

    Args:
        user: the file's layer and those above it.
        name: the run's name where no layer gives one.
        notes: for the report.
    """
    return _Resolver(list(user), catalog, name, tuple(notes)).resolve()


class _Resolver:
    def __init__(
        self, user: list[ConfigLayer], catalog: Catalog, name: str, notes: tuple[str, ...]
    ) -> None:
        self.catalog = catalog
        self.notes = list(notes)
        given = self._with_presets(user)
        self.selection = ComponentLookup(given, catalog, name)
        self.classes = self.selection.classes
        self.layers = self.selection.layers
        self.problems = self.selection.problems
        self.broken = self.selection.broken
        self.unread: set[Key] = set()

    def _with_presets(self, user: list[ConfigLayer]) -> list[ConfigLayer]:
        found = [layer.values[key] for layer in user if (key := ("run", "extends")) in layer.values]
        if not found or str(found[-1].raw).lower() in ("", "none"):
            return user
        return [*preset_layers(str(found[-1].raw), found[-1].origin, self.catalog), *user]

    def resolve(self) -> RunConfig:
        self._check_sections()
        merged = self._merge()
        final = self._read(merged)
        host, parts = self._validate(final, merged)
        if self.problems:
            raise ConfigError(sorted(set(self.problems), key=_by_place))
        return RunConfig(host, parts, self._shown(merged, host, parts), tuple(self.notes))

    # -- sections and keys ------------------------------------------------------------------

    def _check_sections(self) -> None:
        heads = self.selection.heads
        singular = [*HOST_SECTIONS, *SINGLE_KINDS]
        examples = (
            [f"head.{h}" for h in heads]
            + [f"evaluator.{n}" for n in self.catalog.names("evaluator")]
            + [f"logger.{n}" for n in self.catalog.names("logger")]
        )
        for section in self.selection.sections():
            kind, _, instance = section.partition(".")
            if section in singular or (kind in INSTANCE_KINDS and instance):
                known_method = self.classes.get("method") is not None
                if kind == "head" and known_method and instance not in heads:
                    has = f"has {', '.join(heads)}" if heads else "has no heads"
                    self._section_problem(section, f"the method {has}", list(examples))
                continue
            if kind in INSTANCE_KINDS:
                example = next((e for e in examples if e.startswith(kind)), f"{kind}.name")
                self._section_problem(section, f"name the instance, such as [{example}]", [])
            elif kind in SINGLE_KINDS:
                self._section_problem(section, f"there is one {kind}; write [{kind}]", [])
            else:
                self._section_problem(section, "", [*singular, *examples])

    def _section_problem(self, section: str, reason: str, known: list[str]) -> None:
        self.broken.add(section)
        hint = did_you_mean(section, known)
        text = f"[{section}] unknown section" + (f": {reason}" if reason else "") + hint
        self.problems.append(Problem(self.selection.where(section), text))

    def _merge(self) -> dict[Key, ConfigValue]:
        """Every key of every known section, schema defaults included."""
        merged: dict[Key, ConfigValue] = {}
        for section in dict.fromkeys([*HOST_SECTIONS, *self.selection.sections()]):
            schema = self._schema(section)
            if schema is None:
                continue
            values, problems, notes = merge_section(
                self.layers, section, schema.mutually_exclusive, section in self.classes
            )
            self.problems += problems
            self.notes += notes
            taken = set(values)
            displaced = {
                key for group in schema.mutually_exclusive if taken & set(group) for key in group
            }
            if section in self.classes:
                instance = section.partition(".")[2] or section
                merged[section, "name"] = values.pop(
                    "name", ConfigValue(instance, ConfigOrigin("instance name"), is_text=True)
                )
            for key, field in schema.model_fields.items():
                if key in values:
                    merged[section, key] = values[key]
                elif not field.is_required() and key not in displaced:
                    default = field.get_default(call_default_factory=True)
                    merged[section, key] = ConfigValue(default, ConfigOrigin("default"))
            for key, value in values.items():
                if key not in schema.model_fields:
                    hint = did_you_mean(key, schema.model_fields)
                    known = ", ".join(schema.model_fields) or "none"
                    text = f"[{section}] {key}: unknown key{hint or f'; known keys: {known}'}"
                    self.problems.append(Problem(str(value.origin), text))
        return merged

    def _schema(self, section: str) -> type[Settings] | None:
        if section in HOST_SECTIONS:
            return HOST_SECTIONS[section]
        cls = self.classes.get(section)
        return None if cls is None or section in self.broken else cls.Config

    # -- values -----------------------------------------------------------------------------

    def _read(self, merged: Mapping[Key, ConfigValue]) -> dict[Key, Any]:
        """Text to objects, references replaced."""
        final: dict[Key, Any] = {}
        for (section, key), value in merged.items():
            try:
                raw = substitute(value, merged)
                if (section, key) in merged and key == "name" and section in self.classes:
                    final[section, key] = str(raw)
                    continue
                schema = self._schema(section)
                assert schema is not None
                annotation = schema.model_fields[key].annotation
                if value.is_text and isinstance(raw, str):
                    raw = parse_value(raw, annotation)
                if takes_path(annotation) and isinstance(raw, str | Path) and str(raw):
                    raw = absolute(str(raw), value.origin)
                final[section, key] = raw
            except (InterpolationError, LiteralError) as error:
                self.unread.add((section, key))
                text = f"[{section}] {key}: {error}"
                self.problems.append(Problem(str(value.origin), text))
        return final

    def _validate(
        self, final: Mapping[Key, Any], merged: Mapping[Key, ConfigValue]
    ) -> tuple[dict[str, Settings], dict[str, ComponentConfig]]:
        host: dict[str, Settings] = {}
        parts: dict[str, ComponentConfig] = {}
        for section in dict.fromkeys([*HOST_SECTIONS, *self.classes]):
            schema = self._schema(section)
            if schema is None:
                continue
            chosen = {k: v for (s, k), v in final.items() if s == section}
            name = chosen.pop("name", "") if section in self.classes else ""
            try:
                settings = schema.model_validate(chosen)
            except ValidationError as error:
                where = self.selection.where(section)
                self.problems += [
                    problem
                    for key, problem in explain(section, where, schema, error, merged)
                    if (section, key) not in self.unread
                ]
                continue
            if section in HOST_SECTIONS:
                host[section] = settings
                continue
            kind, _, instance = section.partition(".")
            entry = self.catalog.find(kind, name)
            parts[section] = ComponentConfig(
                section, kind, instance or kind, name, self.classes[section], settings, entry
            )
        return host, parts

    def _shown(
        self,
        merged: Mapping[Key, ConfigValue],
        host: Mapping[str, Settings],
        parts: Mapping[str, ComponentConfig],
    ) -> dict[Key, ConfigEntry]:
        shown: dict[Key, ConfigEntry] = {}
        for (section, key), value in merged.items():
            if key == "name" and section in parts:
                found: Any = parts[section].name
                about = f"which {parts[section].kind}"
            else:
                settings = host[section] if section in host else parts[section].settings
                found = getattr(settings, key)
                about = type(settings).model_fields[key].description or ""
            environment = refers_to_environment(value)
            text = str(value.raw) if environment else format_value(found)
            shown[section, key] = ConfigEntry(found, text, value.origin, about)
        return shown


def _by_place(problem: Problem) -> tuple[str, int, str]:
    file, _, line = problem.where.rpartition(":")
    return (
        (file, int(line), problem.message)
        if line.isdigit()
        else (problem.where, 0, problem.message)
    )

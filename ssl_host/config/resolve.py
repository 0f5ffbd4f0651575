"""Merge the layers of a configuration into a :class:`RunConfig`, or report all problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.component_lookup import ComponentLookup
from ssl_host.config.derived_defaults import derived_defaults
from ssl_host.config.entries import make_entries, round_trip_problems
from ssl_host.config.fields import parse_field
from ssl_host.config.ini import read_config_text
from ssl_host.config.interpolation import InterpolationError, network_reference, substitute
from ssl_host.config.layers import (
    ConfigLayer,
    add_defaults,
    merge_section,
    option_layer,
    parse_ini_layer,
    preset_layers,
    python_layer,
)
from ssl_host.config.messages import sort_key, unknown_key, untrained_note, validation_problems
from ssl_host.config.run_config import ComponentConfig, RunConfig
from ssl_host.config.schema import HOST_SECTIONS
from ssl_host.config.unknown_sections import unknown_sections
from ssl_host.config.values import ConfigOrigin, ConfigValue, Key, LiteralError
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem


def resolve_file(path: Path, options: Sequence[str], catalog: Catalog) -> RunConfig:
    """Read a configuration file, apply options and return the validated configuration.

    A file in a different dialect is read by the plugin for that dialect (hook ``read_config``).

    Args:
        path: the path of the file.
        options: overrides of the form ``section.key=value``, as for ``-o`` on the command line.
        catalog: the catalog of installed components.

    Raises:
        ConfigError: if the configuration has problems; the message lists all of them.
    """
    text = read_config_text(path)
    layer = catalog.call("read_config", path=path, text=text, catalog=catalog)
    if layer is None:
        layer = parse_ini_layer(text, path)
    return resolve_layers([layer, option_layer(options)], catalog, path.stem)


def resolve_sections(
    sections: Mapping[str, Mapping[str, Any]], catalog: Catalog, options: Sequence[str] = ()
) -> RunConfig:
    """Return the validated configuration for values such as ``{"run": {"epochs": 10}}``.

    Args:
        sections: the values as ``{section: {key: value}}``.
        catalog: the catalog of installed components.
        options: overrides of ``sections`` of the form ``section.key=value``.

    Raises:
        ConfigError: if the configuration has problems; the message lists all of them.
    """
    layers = [python_layer("python", sections), option_layer(options)]
    return resolve_layers(layers, catalog, "run")


def resolve_layers(layers: Sequence[ConfigLayer], catalog: Catalog, run_name: str) -> RunConfig:
    """Merge layers with presets, recipes and defaults, and return the validated configuration.

    Args:
        layers: the user's layers, such as a file and options, lowest priority first.
        catalog: the catalog of installed components.
        run_name: the name of the run if no layer sets one.

    Raises:
        ConfigError: if the configuration has problems; the message lists all of them.
    """
    return _Resolver(layers, catalog, run_name).resolve()


def _with_presets(layers: Sequence[ConfigLayer], catalog: Catalog) -> list[ConfigLayer]:
    """Return the given layers, after the layers of the preset named in ``[run] extends``."""
    extends = [layer.values[key] for layer in layers if (key := ("run", "extends")) in layer.values]
    if not extends or str(extends[-1].raw).lower() in ("", "none"):
        return list(layers)
    return [*preset_layers(str(extends[-1].raw), extends[-1].origin, catalog), *layers]


class _Resolver:
    """Merges and validates the layers of one configuration.

    Each step adds to ``problems``; the last step raises a single error that lists all of them.
    """

    def __init__(self, layers: Sequence[ConfigLayer], catalog: Catalog, run_name: str) -> None:
        self.catalog = catalog
        self.notes = [note for layer in layers for note in layer.notes]
        self.lookup = ComponentLookup(_with_presets(layers, catalog), catalog, run_name)
        self.classes = self.lookup.classes
        self.problems = self.lookup.problems

    def resolve(self) -> RunConfig:
        """Return the validated configuration.

        Raises:
            ConfigError: if the configuration has problems; the message lists all of them.
        """
        for section, problem in unknown_sections(self.lookup):
            self.lookup.failed.add(section)
            self.problems.append(problem)
        merged = self._merge()
        parsed = self._parse(merged)
        host, components = self._validate(merged, parsed)
        if self.problems:
            raise ConfigError(sorted(set(self.problems), key=sort_key))
        entries = make_entries(merged, host, components)
        config = RunConfig(host, components, entries, tuple(self.notes))
        if not config.run.epochs and config.run.init_from is None:
            note = untrained_note(entries["run", "epochs"].origin)
            config = replace(config, notes=(*self.notes, note))
        problems = round_trip_problems(config)
        if problems:
            raise ConfigError(sorted(problems, key=sort_key))
        return config

    def _schema(self, section: str) -> type[Settings] | None:
        """Return the settings class of a section, or None if it cannot be validated."""
        if section in HOST_SECTIONS:
            return HOST_SECTIONS[section]
        cls = self.classes.get(section)
        return None if cls is None or section in self.lookup.failed else cls.Config

    def _all_keys(self) -> dict[str, Iterable[str]]:
        """Return the keys of all sections for suggestions, most likely sections first."""
        in_files = {s for layer in self.lookup.user_layers for s in layer.sections()}
        sections = dict.fromkeys([*HOST_SECTIONS, *self.classes])
        # Evaluators come last: many of their keys also exist in methods, losses and optimizers.
        ranked = sorted(sections, key=lambda s: (s.startswith("evaluator."), s not in in_files))
        schemas = {section: self._schema(section) for section in ranked}
        return {s: schema.model_fields for s, schema in schemas.items() if schema is not None}

    def _merge(self) -> dict[Key, ConfigValue]:
        """Return the known sections of all layers, merged, with the defaults of the schemas."""
        merged: dict[Key, ConfigValue] = {}
        for section in dict.fromkeys([*HOST_SECTIONS, *self.lookup.sections()]):
            schema = self._schema(section)
            if schema is None:
                continue
            values, problems, notes = merge_section(
                self.lookup.layers, section, schema.mutually_exclusive, section in self.classes
            )
            self.problems += problems
            self.notes += notes
            if section in self.classes:
                instance = section.partition(".")[2] or section
                default_name = ConfigValue(instance, ConfigOrigin("instance name"), is_text=True)
                merged[section, "name"] = values.pop("name", default_name)
            for key in self.lookup.host_keys(section):
                unset = ConfigValue(None, ConfigOrigin("default"))
                merged[section, key] = values.pop(key, unset)
            values = {**derived_defaults(section, schema, self.classes, merged), **values}
            merged |= {(section, key): v for key, v in add_defaults(values, schema).items()}
            for key, value in values.items():
                if key not in schema.model_fields:
                    text = f"[{section}] {unknown_key(key, schema.model_fields, self._all_keys())}"
                    self.problems.append(Problem(str(value.origin), text))
        return merged

    def _parse(self, merged: Mapping[Key, ConfigValue]) -> dict[Key, Any]:
        """Replace references and convert text to values; skip settings that cannot be parsed."""
        parsed: dict[Key, Any] = {}
        for (section, key), value in merged.items():
            if self._is_network_reference(section, key, value, merged):
                parsed[section, key] = self._placeholder(section, key)
                continue
            try:
                parsed[section, key] = self._parse_one(section, key, value, merged)
            except (InterpolationError, LiteralError) as error:
                self.problems.append(Problem(str(value.origin), f"[{section}] {key}: {error}"))
        return parsed

    def _is_network_reference(
        self, section: str, key: str, value: ConfigValue, merged: Mapping[Key, ConfigValue]
    ) -> bool:
        """Return True if a component's setting refers to a width of one of the run's networks."""
        reference = network_reference(value)
        if reference is None or section not in self.classes or key == "name":
            return False
        network, _, attribute = reference.rpartition(".")
        # A backbone may have a setting of this name, such as timm's patch_size.
        return network in self.classes and merged.get((network, attribute)) is None

    def _placeholder(self, section: str, key: str) -> Any:
        """Return a temporary value for a setting that is known only once a network is built."""
        schema = self._schema(section)
        field = None if schema is None else schema.model_fields.get(key)
        return 1 if field is None or field.is_required() else field.default

    def _parse_one(
        self, section: str, key: str, value: ConfigValue, merged: Mapping[Key, ConfigValue]
    ) -> Any:
        """Return the Python value of one setting, with references replaced and text parsed.

        Raises:
            InterpolationError: if a reference cannot be replaced.
            LiteralError: if the text cannot be converted to the type of the setting.
        """
        value = substitute(value, merged)
        if key == "name" and section in self.classes:
            return str(value.raw)
        if key in (host_keys := self.lookup.host_keys(section)):
            return parse_field(value, host_keys[key].annotation)
        schema = self._schema(section)
        assert schema is not None  # _merge skips sections without a schema
        return parse_field(value, schema.model_fields[key].annotation)

    def _validate(
        self, merged: Mapping[Key, ConfigValue], parsed: Mapping[Key, Any]
    ) -> tuple[dict[str, Settings], dict[str, ComponentConfig]]:
        """Validate every section; return host settings and components, both keyed by section."""
        host: dict[str, Settings] = {}
        components: dict[str, ComponentConfig] = {}
        for section in dict.fromkeys([*HOST_SECTIONS, *self.classes]):
            schema = self._schema(section)
            if schema is None:
                continue
            values = {key: value for (s, key), value in parsed.items() if s == section}
            name = values.pop("name", "") if section in self.classes else ""
            keys = [key for key in self.lookup.host_keys(section) if key in values]
            host_values = {key: values.pop(key) for key in keys}
            try:
                settings = schema.model_validate(values)
            except ValidationError as error:
                self.problems += self._problems(section, schema, error, merged, parsed)
                continue
            if section in HOST_SECTIONS:
                host[section] = settings
            else:
                references = {
                    key: str(network_reference(value))
                    for (s, key), value in merged.items()
                    if s == section and self._is_network_reference(s, key, value, merged)
                }
                component = self._component(section, name, settings)
                components[section] = replace(
                    component, host_values=host_values, network_references=references
                )
        return host, components

    def _problems(
        self,
        section: str,
        schema: type[Settings],
        error: ValidationError,
        merged: Mapping[Key, ConfigValue],
        parsed: Mapping[Key, Any],
    ) -> list[Problem]:
        """Return the problems of a section, except those that ``_parse`` has already reported."""
        values = {key: value for (s, key), value in merged.items() if s == section}
        location = self.lookup.location(section)
        problems = validation_problems(error, schema, location, section, values)
        unparsed = {key for key in values if (section, key) not in parsed}
        return [problem for key, problem in problems.items() if key not in unparsed]

    def _component(self, section: str, name: str, settings: Settings) -> ComponentConfig:
        """Return the ComponentConfig of a section, with its validated settings."""
        kind, _, instance = section.partition(".")
        return ComponentConfig(
            section=section,
            kind=kind,
            instance=instance or kind,
            name=name,
            cls=self.classes[section],
            settings=settings,
            entry=self.catalog.find(kind, name),
        )

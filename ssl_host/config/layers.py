"""Create the layers of a configuration (presets, file, options) and merge their sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.discovery import preset_file
from ssl_host.config.ini import parse_ini, read_config_text
from ssl_host.config.quoting import QuoteError, unquote
from ssl_host.config.values import ConfigOrigin, ConfigValue, Key
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, PluginError, Problem


@dataclass
class ConfigLayer:
    """Values from one source: a file, options, a preset, a recipe or the host's defaults.

    Attributes:
        name: the name of the layer, such as ``file``, ``option``, ``preset simclr/cifar10`` or
            ``method simclr``.
        values: maps section and key to the value.
        lines: maps each section to the line number of its header, from 1; 0 or missing if the
            layer does not come from a file.
        file: the path of the file; empty if the layer does not come from a file.
        notes: remarks for the log and the report, such as a list of keys that have no effect.
    """

    name: str
    values: dict[Key, ConfigValue]
    lines: dict[str, int] = field(default_factory=dict)
    file: str = ""
    notes: list[str] = field(default_factory=list)

    def section(self, name: str) -> dict[str, ConfigValue]:
        """Return the values of a section, by key."""
        return {key: value for (section, key), value in self.values.items() if section == name}

    def sections(self) -> list[str]:
        """Return the names of all sections in order, including empty ones."""
        return list(dict.fromkeys([*self.lines, *(section for section, _ in self.values)]))


def python_layer(name: str, sections: Mapping[str, Mapping[str, Any]]) -> ConfigLayer:
    """Return a layer of Python values; strings are parsed like INI text, including ``${...}``."""
    values = {
        (section, key): ConfigValue(raw, ConfigOrigin(name), is_text=isinstance(raw, str))
        for section, settings in sections.items()
        for key, raw in settings.items()
    }
    return ConfigLayer(name, values, dict.fromkeys(sections, 0))


def read_ini_layer(path: Path, name: str = "file") -> ConfigLayer:
    """Read an INI file and return its values as a layer.

    Raises:
        ConfigError: if the file cannot be read or parsed.
    """
    return parse_ini_layer(read_config_text(path), path, name)


def parse_ini_layer(
    text: str, path: Path, name: str = "file", default_section: str | None = None
) -> ConfigLayer:
    """Parse the text of an INI file and return its values as a layer.

    Args:
        text: the text of the file.
        path: the path of the file, for error messages.
        name: the name of the layer.
        default_section: the section for keys before the first section header; if None, such keys
            are an error.

    Raises:
        ConfigError: if the text cannot be parsed.
    """
    values, lines = parse_ini(text, str(path), name, default_section)
    return ConfigLayer(name, values, lines, str(path))


def option_layer(options: Sequence[str]) -> ConfigLayer:
    """Parse options of the form ``section.key=value`` and return them as a layer.

    Raises:
        ConfigError: if an option does not have this form or its quotes are not closed; the message
            lists all such options.
    """
    values: dict[Key, ConfigValue] = {}
    problems = []
    for option in options:
        target, equals, text = option.partition("=")
        section, dot, key = target.strip().rpartition(".")
        if not (equals and dot and section and key):
            problems.append(
                Problem(f"-o {option}", "expected section.key=value, such as -o run.epochs=20")
            )
            continue
        try:
            values[section, key] = option_value(option, text)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return ConfigLayer("option", values)


def option_value(option: str, text: str) -> ConfigValue:
    """Parse the text after the ``=`` of an option and return the value.

    Raises:
        ConfigError: if the text starts with a quote but is not a complete quoted string.
    """
    origin = ConfigOrigin("option", f"-o {option}")
    try:
        value, is_quoted = unquote(text.strip())
    except QuoteError as error:
        raise ConfigError([Problem(str(origin), str(error))]) from None
    return ConfigValue(value, origin, is_text=True, is_quoted=is_quoted)


def preset_layers(
    name: str, origin: ConfigOrigin, catalog: Catalog, visited: tuple[str, ...] = ()
) -> list[ConfigLayer]:
    """Return the layers of a preset and of all presets it extends, lowest priority first.

    Args:
        name: the name of the preset, such as ``simclr/cifar10``.
        origin: the place where ``[run] extends`` is set, for error messages.
        catalog: the catalog of the installed presets.
        visited: the presets that led to this one, for detecting cycles.

    Raises:
        ConfigError: if a preset does not exist or cannot be parsed, or if presets extend each
            other in a cycle.
    """
    if name in visited:
        cycle = " -> ".join((*visited, name))
        raise ConfigError([Problem(str(origin), f"[run] extends forms a cycle: {cycle}")])
    try:
        entry = catalog.find("preset", name)
    except PluginError as error:
        raise ConfigError([Problem(str(origin), f"[run] extends: {error}")]) from None
    file = preset_file(entry.reference)
    if file is None or not file.is_file():
        message = f"[run] extends: {entry.describe()} does not exist; reinstall the plugin"
        raise ConfigError([Problem(str(origin), message)])
    with resources.as_file(file) as path:
        layer = read_ini_layer(path, f"preset {name}")
    extended = layer.values.pop(("run", "extends"), None)
    if extended is None:
        return [layer]
    lower = preset_layers(str(extended.raw), extended.origin, catalog, (*visited, name))
    return [*lower, layer]


def merge_section(
    layers: Iterable[ConfigLayer],
    section: str,
    mutually_exclusive: Iterable[tuple[str, ...]],
    is_component: bool,
) -> tuple[dict[str, ConfigValue], list[Problem], list[str]]:
    """Merge one section of all layers; for each key, the layer with the highest priority wins.

    If a layer names a different component, the settings of lower layers are dropped, because they
    belong to the previous component. If a layer sets one of several mutually exclusive keys, the
    other keys are dropped.

    Args:
        layers: the layers, lowest priority first.
        section: the name of the section.
        mutually_exclusive: groups of keys; a layer may set only one key of each group.
        is_component: True if ``name`` in this section is the name of a component; in ``[run]`` it
            is not.

    Returns:
        The merged values, keyed by setting name; the problems; and the notes.
    """
    merged: dict[str, ConfigValue] = {}
    problems, notes, replaced = [], [], dict[str, ConfigValue]()
    for layer in layers:
        settings = layer.section(section)
        if is_component and _names_different_component(settings, merged):
            notes += _dropped_preset_note(section, settings["name"], merged)
            replaced, merged = merged, {}
        for group in mutually_exclusive:
            keys = [key for key in group if key in settings]
            if len(keys) > 1:
                location = str(settings[keys[-1]].origin)
                message = (
                    f"[{section}] {' and '.join(keys)} cannot be set together; set one of them"
                )
                problems.append(Problem(location, message))
            if keys:
                for key in group:
                    merged.pop(key, None)
        merged.update(settings)
    return merged, problems, [*notes, *_dropped_recipe_note(section, merged, replaced)]


def add_defaults(
    values: Mapping[str, ConfigValue], schema: type[Settings]
) -> dict[str, ConfigValue]:
    """Return the values of a section in schema order, with defaults for keys that are not set.

    Unknown keys are left out. A key gets no default if a mutually exclusive key is set.
    """
    excluded = {
        key for group in schema.mutually_exclusive if values.keys() & set(group) for key in group
    }
    complete: dict[str, ConfigValue] = {}
    for key, declaration in schema.model_fields.items():
        if key in values:
            complete[key] = values[key]
        elif not declaration.is_required() and key not in excluded:
            default = declaration.get_default(call_default_factory=True)
            complete[key] = ConfigValue(default, ConfigOrigin("default"))
    return complete


def _names_different_component(
    settings: Mapping[str, ConfigValue], lower: Mapping[str, ConfigValue]
) -> bool:
    """Return True if both layers set ``name`` and the values differ."""
    both_named = "name" in settings and "name" in lower
    return both_named and settings["name"].raw != lower["name"].raw


def _dropped_preset_note(
    section: str, name: ConfigValue, lower: Mapping[str, ConfigValue]
) -> list[str]:
    """Return a note, as a list, about settings of a preset for a component that is replaced.

    The list is empty if no setting of a preset is dropped, or if another preset replaces the
    component.
    """
    dropped = [key for key, v in lower.items() if v.origin.layer.startswith("preset")]
    if not dropped or name.origin.layer.startswith("preset"):
        return []
    return [
        f"{name.origin}: [{section}] name = {name.raw} replaces {lower['name'].raw}, so "
        f"{', '.join(dropped)} of {lower[dropped[0]].origin.layer} "
        f"{'is' if len(dropped) == 1 else 'are'} ignored"
    ]


def _dropped_recipe_note(
    section: str, merged: Mapping[str, ConfigValue], replaced: Mapping[str, ConfigValue]
) -> list[str]:
    """Return a note, as a list, about a component of the method that the data source replaces.

    The list is empty if the recipe has no settings for it besides the name, and if a preset or the
    user has settings for the new component, who then knows of it.
    """
    lost = [k for k, v in replaced.items() if v.origin.layer.startswith("method ") and k != "name"]
    if not lost or not all(v.origin.layer.startswith("data ") for v in merged.values()):
        return []
    name, old = merged["name"], replaced["name"]
    return [
        f"[{section}] name = {name.raw} of {name.origin.layer} replaces {old.raw} of "
        f"{old.origin.layer}, and its {', '.join(lost)} {'has' if len(lost) == 1 else 'have'} no "
        f"effect; to keep {old.raw}, set [{section}] name = {old.raw} and these settings"
    ]

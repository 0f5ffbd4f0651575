"""The layers that a configuration is made of, lowest first, and how they are merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.ini import read_ini
from ssl_host.config.values import ConfigOrigin, ConfigValue, Key
from ssl_host.errors import ConfigError, PluginError, Problem


@dataclass
class ConfigLayer:
    """Values of one place.

    Attributes:
        lines: where the sections begin, for files.
        file: the path, for files.
        notes: remarks about the file for log and report, such as keys without effect.
    """

    name: str
    values: dict[Key, ConfigValue]
    lines: dict[str, int] = field(default_factory=dict)
    file: str = ""
    notes: list[str] = field(default_factory=list)

    def section(self, name: str) -> dict[str, ConfigValue]:
        """Keys and values of a section."""
        return {key: value for (section, key), value in self.values.items() if section == name}

    def sections(self) -> list[str]:
        """Section names in order, empty ones too."""
        return list(dict.fromkeys([*self.lines, *(section for section, _ in self.values)]))


def python_layer(name: str, sections: Mapping[str, Mapping[str, Any]]) -> ConfigLayer:
    """A layer of Python values: strings with ``${...}`` are text, the rest is taken as it is."""
    values = {
        (section, key): ConfigValue(raw, ConfigOrigin(name), is_text=isinstance(raw, str))
        for section, settings in sections.items()
        for key, raw in settings.items()
    }
    return ConfigLayer(name, values, dict.fromkeys(sections, 0))


def read_ini_layer(path: Path, name: str = "file") -> ConfigLayer:
    """A layer of an INI file."""
    values, lines = read_ini(path, name)
    return ConfigLayer(name, values, lines, str(path))


def option_layer(options: Sequence[str]) -> ConfigLayer:
    """A layer of ``-o section.key=value`` options.

    Raises:
        ConfigError: for options of another form, all at once.
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
        origin = ConfigOrigin("option", f"-o {option}", 0)
        values[section, key] = ConfigValue(text.strip(), origin, is_text=True)
    if problems:
        raise ConfigError(problems)
    return ConfigLayer("option", values)


def preset_layers(
    name: str, origin: ConfigOrigin, catalog: Catalog, seen: tuple[str, ...] = ()
) -> list[ConfigLayer]:
    """The layers of a preset and of those it extends, lowest first.

    Raises:
        ConfigError: when one does not exist or they go round in a circle.
    """
    if name in seen:
        chain = " -> ".join((*seen, name))
        raise ConfigError([Problem(str(origin), f"[run] extends goes round in a circle: {chain}")])
    try:
        entry = catalog.find("preset", name)
    except PluginError as error:
        raise ConfigError([Problem(str(origin), f"[run] extends: {error}")]) from None
    package, _, resource = entry.reference.partition(":")
    with resources.as_file(resources.files(package).joinpath(resource)) as path:
        layer = read_ini_layer(path, f"preset {name}")
    below = layer.values.pop(("run", "extends"), None)
    lower = preset_layers(str(below.raw), below.origin, catalog, (*seen, name)) if below else []
    return [*lower, layer]


def merge_section(
    layers: Iterable[ConfigLayer],
    section: str,
    alternatives: Iterable[tuple[str, ...]],
    is_component: bool,
) -> tuple[dict[str, ConfigValue], list[Problem], list[str]]:
    """One section's values from all layers, highest winning; what is wrong; what is to be noted.

    A layer that names another component drops what lower layers gave the first one, and a
    layer that gives one of several alternatives drops the lower layers' choice.

    Args:
        is_component: whether ``name`` names a component; a run's name does not.
    """
    merged: dict[str, ConfigValue] = {}
    problems, notes = [], []
    for layer in layers:
        given = layer.section(section)
        both = "name" in given and "name" in merged
        if is_component and both and given["name"].raw != merged["name"].raw:
            lost = [k for k, v in merged.items() if v.origin.layer.startswith("preset")]
            name = given["name"]
            if lost and not name.origin.layer.startswith("preset"):
                notes.append(
                    f"{name.origin}: [{section}] name = {name.raw}: {', '.join(lost)} of "
                    f"{merged[lost[0]].origin.layer} went with {merged['name'].raw} and "
                    f"{'is' if len(lost) == 1 else 'are'} left out"
                )
            merged = {}
        for group in alternatives:
            chosen = [key for key in group if key in given]
            if len(chosen) > 1:
                where = str(given[chosen[-1]].origin)
                names = " and ".join(chosen)
                problems.append(Problem(where, f"[{section}] {names}: give one of them"))
            if chosen:
                for key in group:
                    merged.pop(key, None)
        merged.update(given)
    return merged, problems, notes

"""The grid of a suite: all combinations of its axes, and the configuration of each run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ssl_host import KINDS, ConfigError, ConfigLayer, ConfigOrigin, ConfigValue, Problem
from ssl_plugin_benchmark.settings import SuiteSettings

SINGLE_KINDS = frozenset(kind.name for kind in KINDS.values() if kind.sections == "one")
"""Kinds that a run configures in one section ``[kind]``; only these can be axes of a grid."""

VARIED = "vary."
"""Beginning of sections such as ``[vary.run]``, whose keys have several values."""

Combination = Mapping[str, str]
"""Maps each axis of the grid to the choice of a run.

Axes are kinds, the method first, with the name of an instance, and settings such as
``run.batch_size`` with one of their values.
"""

SET_PER_RUN = {"seed": "seeds", "name": "name", "dir": "dir"}
"""Maps each key of ``[run]`` that differs between runs to the key of ``[suite]`` that sets it."""


@dataclass(frozen=True)
class SuiteGrid:
    """Combinations of methods and other axes that a suite file describes.

    Attributes:
        path: path of the suite file, for error messages.
        layers: configuration layers of the suite file and the command line, lowest priority first.
        settings: settings from the section ``[suite]``.
    """

    path: Path
    layers: Sequence[ConfigLayer]
    settings: SuiteSettings

    def combinations(self) -> list[Combination]:
        """Return every combination of the axes.

        A kind with a single section per run, such as ``[backbone]``, becomes an axis if the suite
        has sections ``[kind.instance]``. Each key of ``[vary.SECTION]`` is an axis too.

        Raises:
            ConfigError: if the suite names no method, or a varied setting has no usable values.
        """
        axes: dict[str, list[str]] = {"method": list(self.settings.methods)}
        for layer in self.layers:
            for section in layer.sections():
                kind, _, instance = section.partition(".")
                if kind in SINGLE_KINDS and instance:
                    choices = axes.setdefault(kind, [])
                    if instance not in choices:
                        choices.append(instance)
        if not axes["method"]:
            text = "[suite] methods: name at least one, such as simclr, byol"
            raise ConfigError([Problem(str(self.path), text)])
        axes |= {axis: list(choices) for axis, choices in self._varied.items()}
        return [
            dict(zip(axes, choices, strict=True)) for choices in itertools.product(*axes.values())
        ]

    def layers_of(
        self, combination: Combination, seed: int, name: str, folder: Path
    ) -> list[ConfigLayer]:
        """Return the configuration layers of one run, lowest priority first.

        These are the method and preset of ``[suite]``, the sections of the suite that apply to the
        combination, and the run's own seed, name and folder.
        """
        components = {
            kind: self._component(kind, choice)
            for kind, choice in combination.items()
            if kind in SINGLE_KINDS
        }
        chosen = {(kind, "name"): component for kind, component in components.items()}
        if self.settings.preset is not None:
            chosen["run", "extends"] = f"{components['method']}/{self.settings.preset}"
        own = {("run", "seed"): seed, ("run", "name"): name, ("run", "dir"): folder}
        return [
            _constant_layer(ConfigOrigin("suite", str(self.path)), chosen),
            *(_select_sections(layer, combination) for layer in self.layers),
            self._varied_layer(combination),
            _constant_layer(ConfigOrigin("suite run", name), own),
        ]

    @cached_property
    def _varied(self) -> dict[str, dict[str, ConfigValue]]:
        """Values of each varied setting, keyed by their text.

        Raises:
            ConfigError: if a setting has no values, or values that cannot name a folder.
        """
        varied: dict[str, dict[str, ConfigValue]] = {}
        for layer in self.layers:
            for section in layer.sections():
                if not section.startswith(VARIED):
                    continue
                for key, value in layer.section(section).items():
                    texts = [text.strip() for text in str(value.raw).split(",") if text.strip()]
                    if not texts or any("/" in text for text in texts):
                        problem = (
                            f"[{section}] {key} = {value.raw}: expected values separated by "
                            "commas, without slashes, because they name the folders of the runs"
                        )
                        raise ConfigError([Problem(str(value.origin), problem)])
                    varied[f"{section.removeprefix(VARIED)}.{key}"] = {
                        text: replace(value, raw=text) for text in texts
                    }
        return varied

    def _varied_layer(self, combination: Combination) -> ConfigLayer:
        """Return a layer with the values of a combination's varied settings."""
        values = {}
        for axis, choices in self._varied.items():
            section, _, key = axis.rpartition(".")
            values[section, key] = choices[combination[axis]]
        return ConfigLayer("suite", values)

    def ineffective_settings(self) -> list[Problem]:
        """Return a problem for each key of ``[run]`` that ``[suite]`` sets instead."""
        return [
            Problem(
                str(layer.values["run", key].origin),
                f"[run] {key} has no effect in a suite, because each run gets its own; "
                f"use [suite] {instead}",
            )
            for layer in self.layers
            for key, instead in SET_PER_RUN.items()
            if ("run", key) in layer.values
        ]

    def _component(self, kind: str, instance: str) -> str:
        """Return the component named in ``[kind.instance]``; the default is the instance's name."""
        for layer in reversed(self.layers):
            name = layer.section(f"{kind}.{instance}").get("name")
            if name is not None:
                return str(name.raw)
        return instance


def _constant_layer(origin: ConfigOrigin, values: Mapping[tuple[str, str], Any]) -> ConfigLayer:
    """Return a layer with the given values, all from the same origin."""
    return ConfigLayer(
        origin.layer, {key: ConfigValue(value, origin) for key, value in values.items()}
    )


def _select_sections(layer: ConfigLayer, combination: Combination) -> ConfigLayer:
    """Return a layer with the sections that apply to a combination, under their names in a run."""
    values: dict[tuple[str, str], ConfigValue] = {}
    lines: dict[str, int] = {}
    for section in layer.sections():
        target = _target_section(section, combination)
        if target is not None:
            lines[target] = layer.lines.get(section, 0)
            values |= {(target, key): value for key, value in layer.section(section).items()}
    return replace(layer, values=values, lines=lines)


def _target_section(section: str, combination: Combination) -> str | None:
    """Return the run's section that a section of the suite configures.

    Return None if the section does not apply to the combination, or only to the suite.
    """
    kind, _, instance = section.partition(".")
    if section == "suite" or kind == "published" or section.startswith(VARIED):
        return None
    if kind in SINGLE_KINDS and instance:
        return kind if combination[kind] == instance else None
    return section

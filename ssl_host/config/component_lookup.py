"""Which components a configuration names, and the layers that they bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.layers import ConfigLayer, python_layer
from ssl_host.config.schema import (
    DEFAULT_COMPONENTS,
    DEFAULT_EVALUATORS,
    DEFAULT_HEAD,
    HOST_SECTIONS,
    INSTANCE_KINDS,
    SINGLE_KINDS,
)
from ssl_host.config.values import ConfigOrigin, ConfigValue
from ssl_host.contracts.kinds import KINDS
from ssl_host.errors import ContractError, PluginError, Problem


class ComponentLookup:
    """The component classes by section, found layer by layer.

    Args:
        given: the layers of presets, file and options, lowest first.
        name: the run's name where no layer gives one.

    Attributes:
        layers: all layers, those of the host and of the components' recipes too.
        classes: component classes by section; None where one could not be loaded.
        problems: what is wrong.
        broken: sections whose faults have been told already.
    """

    def __init__(self, given: Sequence[ConfigLayer], catalog: Catalog, name: str) -> None:
        self.given = list(given)
        self.catalog = catalog
        self.problems: list[Problem] = []
        self.broken: set[str] = set()
        self.classes: dict[str, Any] = {}
        host = self._host_layer(name)
        self.layers = [host, *self.given]
        for section in ("method", "data"):
            self.classes[section] = self._load(section, section)
        if self._named("method") is None:
            self._no_method()
        recipes = [
            python_layer(f"{section} {named.raw}", self.classes[section].recipe)
            for section in ("method", "data")
            if getattr(self.classes[section], "recipe", None)
            and (named := self._named(section)) is not None
        ]
        heads = {f"head.{head}": {"name": DEFAULT_HEAD} for head in self.heads}
        self.layers = [host, python_layer("host default", heads), *recipes, *self.given]
        self._load_the_others()

    @property
    def heads(self) -> list[str]:
        """The heads of the method."""
        return list(getattr(self.classes.get("method"), "heads", {}))

    def sections(self) -> list[str]:
        """Every section of every layer, the host's first, then by kind."""
        order = [*HOST_SECTIONS, *KINDS]
        found = dict.fromkeys(s for layer in self.layers for s in layer.sections())
        rank = {name: i for i, name in enumerate(order)}
        return sorted(found, key=lambda s: rank.get(s.split(".")[0], len(rank)))

    def where(self, section: str) -> str:
        """The place of a section, for messages: the highest layer that has it."""
        for layer in reversed(self.layers):
            if layer.lines.get(section):
                return f"{layer.file}:{layer.lines[section]}"
            given = layer.section(section)
            if given and layer.name == "option":
                return str(next(iter(given.values())).origin)
        return section

    def _host_layer(self, name: str) -> ConfigLayer:
        defaults = {section: dict(values) for section, values in DEFAULT_COMPONENTS.items()}
        defaults["run"] = {"name": name}
        named = {s.split(".")[0] for layer in self.given for s in layer.sections()}
        if "evaluator" not in named:
            defaults |= {f"evaluator.{e}": {"name": e} for e in DEFAULT_EVALUATORS}
        return python_layer("host default", defaults)

    def _named(self, section: str) -> ConfigValue | None:
        found = [v for layer in self.layers if (v := layer.values.get((section, "name")))]
        return found[-1] if found else None

    def _no_method(self) -> None:
        known = ", ".join(self.catalog.names("method")) or "none is installed"
        line = next((layer.lines["method"] for layer in self.given if "method" in layer.lines), 0)
        file = next((layer.file for layer in reversed(self.given) if layer.file), "")
        where = f"{file}:{line}" if line and file else file or self.given[0].name
        message = f"no method is named; add a section [method] with name = ... ({known})"
        self.problems.append(Problem(where, message))

    def _load_the_others(self) -> None:
        for section in self.sections():
            kind, _, instance = section.partition(".")
            if section in self.classes or kind not in (*SINGLE_KINDS, *INSTANCE_KINDS):
                continue
            if (kind in INSTANCE_KINDS) != bool(instance):
                continue
            if kind == "head" and instance not in self.heads:
                continue
            self.classes[section] = self._load(section, kind)

    def _load(self, section: str, kind: str) -> Any:
        value = self._named(section)
        if value is None:
            if "." not in section:
                if KINDS[kind].required and kind != "method":
                    self.problems.append(Problem(self.where(section), f"[{section}] needs a name"))
                return None
            place = ConfigOrigin("instance name", self.where(section))
            value = ConfigValue(section.partition(".")[2], place)
        try:
            return self.catalog.load(kind, str(value.raw))
        except (PluginError, ContractError) as error:
            self.broken.add(section)
            self.problems.append(Problem(str(value.origin), f"[{section}] {error}"))
            return None

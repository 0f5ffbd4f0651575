"""Load the component classes named in a configuration, and the layers that they add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.layers import ConfigLayer, python_layer
from ssl_host.config.named_sections import (
    EVALUATOR_KEYS,
    NETWORK_KEYS,
    HostKey,
    named_section,
    names_of_sections,
)
from ssl_host.config.schema import (
    DEFAULT_BASELINES,
    DEFAULT_COMPONENTS,
    DEFAULT_EVALUATORS,
    DEFAULT_HEAD,
    INSTANCE_KINDS,
    SECTION_ORDER,
    SINGLE_KINDS,
)
from ssl_host.config.values import ConfigOrigin, ConfigValue
from ssl_host.contracts.kinds import KINDS
from ssl_host.errors import ContractError, PluginError, Problem


class ComponentLookup:
    """Loads the component class named in each section of a configuration.

    The recipes of the method and the data source are layers too: they override the host's
    defaults, and the user's layers override them. These two classes are therefore loaded first.

    Args:
        user_layers: the layers from presets, the file and options, lowest priority first.
        catalog: the installed components.
        run_name: the name of the run if no layer sets one.

    Attributes:
        layers: all layers, lowest priority first: host defaults, recipes, ``user_layers``.
        classes: maps each section to its component class, or to None if it cannot be loaded.
        problems: the problems found so far.
        failed: the sections with a reported problem, which are not checked further.
        named: the sections that settings of other sections name, such as ``data.flowers``.
    """

    def __init__(self, user_layers: Sequence[ConfigLayer], catalog: Catalog, run_name: str) -> None:
        self.user_layers = list(user_layers)
        self.catalog = catalog
        self.classes: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.failed: set[str] = set()
        self.named: set[str] = set()
        defaults = self._default_layer(run_name)
        self.layers = [defaults, *self.user_layers]
        for section in ("method", "data"):
            self.classes[section] = self._load(section, section)
        if self._name_of("method") is None:
            self.problems.append(self._missing_method())
        self.layers = [defaults, self._head_layer(), *self._recipe_layers(), *self.user_layers]
        self._load_remaining()

    @property
    def heads(self) -> list[str]:
        """Names of the heads that the method declares."""
        return list(getattr(self.classes.get("method"), "heads", {}))

    @property
    def frozen(self) -> list[str]:
        """Names of the frozen networks that the method declares."""
        return list(getattr(self.classes.get("method"), "frozen", ()))

    def is_additional(self, section: str) -> bool:
        """Return True if a section is a further one of a kind that has one section ``[kind]``.

        It configures a frozen network of the method, or a setting of another section names it.
        """
        kind, _, instance = section.partition(".")
        return section in self.named or (kind == "backbone" and instance in self.frozen)

    def host_keys(self, section: str) -> Mapping[str, HostKey]:
        """Return the keys of a section that the host reads itself, besides ``name``."""
        kind = section.partition(".")[0]
        if kind == "backbone" and self.is_additional(section):
            return NETWORK_KEYS
        return EVALUATOR_KEYS if kind == "evaluator" else {}

    def sections(self) -> list[str]:
        """Return the section names of all layers: host sections first, then by component kind."""
        sections = dict.fromkeys(s for layer in self.layers for s in layer.sections())
        rank = {kind: position for position, kind in enumerate(SECTION_ORDER)}
        return sorted(sections, key=lambda section: rank.get(section.split(".")[0], len(rank)))

    def location(self, section: str) -> str:
        """Return the location of a section for error messages: ``file:line`` or an option.

        The location is taken from the layer with the highest priority. It is the name of the
        section if no file or option sets it.
        """
        for layer in reversed(self.layers):
            if layer.lines.get(section):
                return f"{layer.file}:{layer.lines[section]}"
            settings = layer.section(section)
            if settings and layer.name == "option":
                return str(next(iter(settings.values())).origin)
        return section

    def _default_layer(self, run_name: str) -> ConfigLayer:
        """Return the host's defaults as a layer.

        It has evaluators only if the user sets none; the same holds for baselines.
        """
        defaults = {section: dict(values) for section, values in DEFAULT_COMPONENTS.items()}
        defaults["run"] = {"name": run_name}
        kinds = {
            section.split(".")[0] for layer in self.user_layers for section in layer.sections()
        }
        for kind, names in (("evaluator", DEFAULT_EVALUATORS), ("baseline", DEFAULT_BASELINES)):
            if kind not in kinds:
                defaults |= {f"{kind}.{name}": {"name": name} for name in names}
        return python_layer("host default", defaults)

    def _head_layer(self) -> ConfigLayer:
        """Return a layer that sets the default component for each head of the method."""
        heads = {f"head.{head}": {"name": DEFAULT_HEAD} for head in self.heads}
        return python_layer("host default", heads)

    def _recipe_layers(self) -> list[ConfigLayer]:
        """Return the recipes of the method and the data source as layers, in that order."""
        layers = []
        for section in ("method", "data"):
            recipe = getattr(self.classes[section], "recipe", None)
            name = self._name_of(section)
            if recipe and name is not None:
                layers.append(python_layer(f"{section} {name.raw}", recipe))
        return layers

    def _name_of(self, section: str) -> ConfigValue | None:
        """Return the ``name`` that the highest-priority layer sets in a section, or None."""
        return self._value(section, "name")

    def _value(self, section: str, key: str) -> ConfigValue | None:
        """Return the value that the highest-priority layer sets for a key, or None."""
        for layer in reversed(self.layers):
            if (section, key) in layer.values:
                return layer.values[section, key]
        return None

    def _missing_method(self) -> Problem:
        """Return the problem to report if no method is set."""
        names = ", ".join(self.catalog.names("method"))
        installed = f"installed: {names}" if names else "none is installed"
        layers = self.user_layers
        line = next((layer.lines["method"] for layer in layers if "method" in layer.lines), 0)
        file = next((layer.file for layer in reversed(layers) if layer.file), "")
        location = f"{file}:{line}" if line and file else file or layers[0].name
        message = f"no method is set; add a section [method] with name = ... ({installed})"
        return Problem(location, message, is_missing=True)

    def _load_remaining(self) -> None:
        """Load the classes of all valid component sections except method and data."""
        frozen = (f"backbone.{name}" for name in self.frozen)
        for section in dict.fromkeys([*self.sections(), *frozen]):
            kind, _, instance = section.partition(".")
            if section in self.classes or kind not in (*SINGLE_KINDS, *INSTANCE_KINDS):
                continue
            if (kind in INSTANCE_KINDS) != bool(instance) and not self.is_additional(section):
                continue
            if kind == "head" and instance not in self.heads:
                continue
            self.classes[section] = self._load(section, kind)
        self._load_named_sections()
        if self.classes["method"] is None or self.classes["data"] is None:
            self.failed |= {section for section in self.classes if self._may_change(section)}

    def _load_named_sections(self) -> None:
        """Load the classes of the sections that settings of components name."""
        existing = self.sections()
        for section, cls in list(self.classes.items()):
            if cls is None:
                continue
            for key, kind in names_of_sections(section.partition(".")[0], cls).items():
                value = self._value(section, key)
                if value is None or str(value.raw).lower() in ("", "none"):
                    continue
                target = named_section(kind, str(value.raw))
                self.named.add(target)
                if target not in existing:
                    text = (
                        f"[{section}] {key} = {value.raw}: there is no section [{target}]; add it "
                        "with name = ..."
                    )
                    self.problems.append(Problem(str(value.origin), text))
                elif target not in self.classes:
                    self.classes[target] = self._load(target, kind)

    def _may_change(self, section: str) -> bool:
        """Return True if the recipe of an unknown method or data source could name the component.

        The user's settings may then be those of a different component, so they are not checked.
        """
        name = self._name_of(section)
        from_user = any((section, "name") in layer.values for layer in self.user_layers)
        return name is not None and not from_user and section not in ("method", "data")

    def _load(self, section: str, kind: str) -> Any:
        """Return the class named in a section, or None if it has no name or cannot be loaded."""
        name = self._name_of(section)
        instance = section.partition(".")[2]
        if name is None and instance and not self.is_additional(section):
            name = ConfigValue(instance, ConfigOrigin("instance name", self.location(section)))
        if name is None:
            if KINDS[kind].required and kind != "method":
                self.problems.append(
                    Problem(self.location(section), f"[{section}] needs a name; add name = ...")
                )
            return None
        try:
            return self.catalog.load(kind, str(name.raw))
        except (PluginError, ContractError) as error:
            self.failed.add(section)
            self.problems.append(Problem(str(name.origin), f"[{section}] {error}"))
            return None

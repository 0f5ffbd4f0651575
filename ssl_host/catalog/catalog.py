"""Registry of the installed plugins and components, which also calls plugin hooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

from ssl_host.catalog.discovery import (
    collect_components,
    did_you_mean,
    discover,
    is_plugin_name,
    make_hook_manager,
)
from ssl_host.catalog.official import official_distribution
from ssl_host.catalog.plugin_errors import hook_error, is_plugin_fault
from ssl_host.catalog.registry import Entry, Plugin, PluginOrigin, source_file
from ssl_host.contracts.kinds import KINDS
from ssl_host.errors import PluginError


class Catalog:
    """Registry of the installed plugins and their components, built from the entry points.

    Args:
        blocked: names of entry points or distributions to skip.

    Attributes:
        plugins: all installed plugins, including broken and blocked ones.

    Raises:
        PluginError: if a name in ``blocked`` is not that of an installed plugin.
    """

    def __init__(self, blocked: Iterable[str] = ()) -> None:
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[str, str], Entry] = {}
        self._collisions: dict[tuple[str, str], list[Entry]] = {}
        self._modules: dict[str, ModuleType] = {}
        manager = make_hook_manager()
        blocked = list(blocked)
        for plugin, module in discover(blocked):
            self.plugins.append(plugin)
            if module is None:
                continue
            entries = collect_components(plugin, module, manager)
            if plugin.state == "ready":
                self._modules[plugin.origin.plugin] = module
                for entry in entries:
                    plugin.components.append((entry.kind, entry.name))
                    self.add(entry)
        for name in blocked:
            self._require_plugin(name)

    def _require_plugin(self, name: str) -> None:
        """Raise an error if no installed plugin has the name."""
        if not any(is_plugin_name(name, plugin.origin) for plugin in self.plugins):
            known = [plugin.origin.plugin for plugin in self.plugins]
            raise PluginError(
                f"no installed plugin is called {name}{did_you_mean(name, known)}; "
                "`ssl-host plugin list` shows all"
            )

    def add(self, entry: Entry) -> None:
        """Add a component or preset; if a name is added twice, :meth:`find` raises an error."""
        key = (entry.kind, entry.name)
        if key in self._entries:
            self._collisions.setdefault(key, [self._entries[key]]).append(entry)
        else:
            self._entries[key] = entry

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook in all ready plugins and return their results.

        Returns:
            A list of all results that are not None. For a ``firstresult`` hook, the first such
            result or None.

        Raises:
            PluginError: when a plugin fails; the message names the plugin, the hook and the line.
                Exceptions from ``ssl_host.errors`` that a plugin raises on purpose pass through.
        """
        try:
            return getattr(self._hooks, hook)(**arguments)
        except Exception as error:
            if not is_plugin_fault(error):
                raise
            raise hook_error(hook, self._implementers(hook), error) from error

    def collect(self, hook: str, **arguments: Any) -> list[Any]:
        """Call a hook that returns sequences and return the items from all plugins as one list.

        Raises:
            PluginError: when a plugin fails or returns anything but a sequence.
        """
        results = self.call(hook, **arguments)
        for result in results:
            if not isinstance(result, Sequence) or isinstance(result, str):
                plugins = " or ".join(map(str, self._implementers(hook).values()))
                raise PluginError(
                    f"plugin {plugins} returned {result!r} from hook {hook}; return a list"
                )
        return [item for result in results for item in result]

    def _implementers(self, hook: str) -> dict[str, PluginOrigin]:
        """Return the origins of the plugins that implement a hook, keyed by module name."""
        origins = {plugin.origin.plugin: plugin.origin for plugin in self.plugins}
        implementations = getattr(self._hooks, hook).get_hookimpls()
        return {impl.function.__module__: origins[impl.plugin_name] for impl in implementations}

    @cached_property
    def _hooks(self) -> Any:
        """Hook callers of pluggy, with one attribute for each hook."""
        manager = make_hook_manager()
        for name, module in self._modules.items():
            manager.register(module, name)
        return manager.hook

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return the registry entries of one kind or of all kinds, sorted by kind and name."""
        entries = [e for e in self._entries.values() if kind is None or e.kind == kind]
        return sorted(entries, key=lambda e: (e.kind, e.name))

    def names(self, kind: str) -> list[str]:
        """Return the sorted names that are registered for a kind."""
        return [entry.name for entry in self.entries(kind)]

    def find(self, kind: str, name: str) -> Entry:
        """Return the registry entry of a component or preset.

        Raises:
            PluginError: when no plugin or more than one plugin registers the name; the message says
                which plugin to install or block.
        """
        key = (kind, name)
        if key in self._collisions:
            entries = self._collisions[key]
            raise PluginError(
                f"{kind} '{name}' is registered by "
                f"{' and by '.join(str(entry.origin) for entry in entries)}; "
                f"uninstall one of them, or block one with `-p no:{entries[-1].origin.plugin}`"
            )
        if key in self._entries:
            return self._entries[key]
        raise PluginError(f"unknown {kind} '{name}'{self._advice(kind, name)}")

    def _advice(self, kind: str, name: str) -> str:
        """Return the end of the message for an unknown name: what to use or install."""
        known = self.names(kind)
        hint = did_you_mean(name, known)
        official = official_distribution(kind, name)
        for plugin in self.plugins:
            names = (plugin.origin.plugin, plugin.origin.distribution)
            if plugin.state != "ready" and (name.split("/", 1)[0] in names or official in names):
                return f"; plugin {plugin.origin} is {plugin.state}: {plugin.reason}"
        advice = hint or (f"; the installed ones are {', '.join(known)}" if known else "")
        if kind == "preset":
            return advice if hint else f"{advice}; presets come with the plugin of their method"
        start = " " if hint else "; "  # the hint ends in a question mark
        if official:
            return f"{advice}{start}'{name}' is part of {official}: pip install {official}"
        distribution = f"ssl-plugin-{name.lower().replace('_', '-')}"
        advice += start + ("If" if hint else "if")
        advice += f" a plugin for '{name}' exists, try: pip install {distribution}"
        blocked = [plugin.origin.plugin for plugin in self.plugins if plugin.state == "blocked"]
        return advice + (f"; blocked plugins may have it: {', '.join(blocked)}" if blocked else "")

    def load(self, kind: str, name: str) -> Any:
        """Import a component's class and check that it inherits from the base class of its kind.

        Raises:
            PluginError: when the component is not registered, cannot be imported or does not
                inherit from the base class of its kind.
        """
        entry = self.find(kind, name)
        component = entry.load()
        base = KINDS[kind].base_class()
        if not (isinstance(component, type) and issubclass(component, base)):
            is_class = isinstance(component, type)
            actual = source_file(component) if is_class else type(component).__name__
            raise PluginError(
                f"{entry.describe()} is not a subclass of ssl_host.{base.__name__} ({actual}); "
                f"every component of kind {kind} must inherit from it"
            )
        return component

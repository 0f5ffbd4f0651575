"""The table (kind, name) -> component, and the plugins behind it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from types import ModuleType
from typing import Any

import pluggy

from ssl_host import hookspecs
from ssl_host.catalog.discovery import did_you_mean, discover, registrations
from ssl_host.catalog.official import official_distribution
from ssl_host.catalog.registry import Entry, Plugin, source_file
from ssl_host.errors import PluginError
from ssl_host.hookspecs import PROJECT


class Catalog:
    """All plugins and what they register. Filled once, from the installed distributions.

    Args:
        blocked: entry points or distributions that are not to be loaded.
    """

    def __init__(self, blocked: Iterable[str] = ()) -> None:
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[str, str], Entry] = {}
        self._collisions: dict[tuple[str, str], list[Entry]] = {}
        self._modules: dict[str, ModuleType] = {}
        for plugin, module in discover(blocked):
            self.plugins.append(plugin)
            if module is None:
                continue
            components, presets = registrations(plugin, module)
            if plugin.state == "ready":
                self._modules[plugin.origin.plugin] = module
                for entry in (*components, *presets):
                    plugin.components.append((entry.kind, entry.name))
                    self.add(entry)

    def add(self, entry: Entry) -> None:
        """Put a component into the table. Two claims to a name are told when it is asked for."""
        key = (entry.kind, entry.name)
        if key in self._entries:
            self._collisions.setdefault(key, [self._entries[key]]).append(entry)
        else:
            self._entries[key] = entry

    @cached_property
    def hooks(self) -> Any:
        """The run hooks of all ready plugins, as pluggy's caller."""
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(hookspecs)
        for name, module in self._modules.items():
            manager.register(module, name)
        return manager.hook

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Registered components and presets, sorted, of one kind or of all."""
        chosen = [e for e in self._entries.values() if kind is None or e.kind == kind]
        return sorted(chosen, key=lambda e: (e.kind, e.name))

    def names(self, kind: str) -> list[str]:
        """Names registered for a kind, sorted."""
        return [entry.name for entry in self.entries(kind)]

    def find(self, kind: str, name: str) -> Entry:
        """The entry of a component.

        Raises:
            PluginError: when there is none, or two distributions claim it; the message says
                what to install or block.
        """
        key = (kind, name)
        if key in self._collisions:
            claims = self._collisions[key]
            raise PluginError(
                f"{kind} '{name}' is claimed by {' and by '.join(str(e.origin) for e in claims)}; "
                f"uninstall one or block it with `-p no:{claims[-1].origin.plugin}`"
            )
        if key in self._entries:
            return self._entries[key]
        raise PluginError(f"unknown {kind} '{name}'{self._remedy(kind, name)}")

    def _remedy(self, kind: str, name: str) -> str:
        known = self.names(kind)
        hint = did_you_mean(name, known)
        for plugin in self.plugins:
            if plugin.state != "ready" and plugin.origin.plugin == name.split("/", 1)[0]:
                return f"; plugin {plugin.origin} is {plugin.state}: {plugin.reason}"
        listed = hint or (f"; installed: {', '.join(known)}" if known else "")
        if kind == "preset":
            return listed if hint else f"{listed}; a preset comes with its method's plugin"
        stem = name.lower().replace("_", "-")
        distribution = official_distribution(kind, name) or f"ssl-plugin-{stem}"
        return f"{listed}; if a plugin provides it: pip install {distribution}"

    def load(self, kind: str, name: str) -> Any:
        """Import a component and check that it is one of its kind.

        Raises:
            PluginError: when it is missing, cannot be imported or is of the wrong class.
        """
        from ssl_host.contracts.kinds import base_of  # noqa: PLC0415 - imports torch

        entry = self.find(kind, name)
        found = entry.load()
        base = base_of(kind)
        if not (isinstance(found, type) and issubclass(found, base)):
            what = source_file(found) if isinstance(found, type) else type(found).__name__
            raise PluginError(
                f"{entry.describe()} is not a subclass of ssl_host.{base.__name__} ({what}); "
                f"a {kind} must inherit from it"
            )
        return found

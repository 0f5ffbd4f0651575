"""State of the translation of one file: values, notes and problems so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_host import Catalog, ConfigValue, PluginError, Problem
from ssl_plugin_lightweight_ssl.keys import FLAT, METHODS, Key

LINEAR = "linear_eval"
"""Folder of the files that describe a linear evaluation."""


class Translation:
    """Translation of one file of Lightweight-SSL.

    Args:
        path: the file.
        source: its values by section and key.
        catalog: the installed methods.

    Attributes:
        is_linear: True for a linear evaluation, False for pretraining.
        values: the translated values by section and key.
        notes: what has no effect or changed its meaning, with file and line.
        problems: what is wrong in the file.
    """

    def __init__(self, path: Path, source: dict[Key, ConfigValue], catalog: Catalog) -> None:
        self.path = path
        self.source = source
        self.catalog = catalog
        self.is_linear = path.resolve().parent.name == LINEAR
        self.values: dict[Key, ConfigValue] = {}
        self.notes: list[str] = []
        self.problems: list[Problem] = []

    def put(self, section: str, key: str, raw: Any, source: ConfigValue) -> None:
        """Set a translated value with the origin of the value that it comes from."""
        self.values[section, key] = ConfigValue(raw, source.origin, is_text=isinstance(raw, str))

    def note(self, value: ConfigValue, text: str) -> None:
        """Add a note on a value."""
        self.notes.append(f"{value.origin}: {text}")

    def problem(self, value: ConfigValue, text: str) -> None:
        """Add a problem with a value."""
        self.problems.append(Problem(str(value.origin), text))

    @property
    def method_name(self) -> str:
        """Name of the method in ssl-host."""
        name = str(self.source[FLAT, "ssl_method"].raw)
        return METHODS.get(name, name)

    @property
    def method_is_installed(self) -> bool:
        """Return True if a plugin provides the method; if not, that is reported later."""
        return self.method_name in self.catalog.names("method")

    @property
    def devices(self) -> Any:
        """The devices of ``compute_cfg``; ``device`` is a previous name of the entry."""
        compute = self.source.get((FLAT, "compute_cfg"))
        entries = compute.raw if compute is not None and isinstance(compute.raw, dict) else {}
        return entries.get("devices", entries.get("device", 1))

    def has_effect(self, argument: str, value: ConfigValue, section: str, setting: str) -> bool:
        """Return True if an argument of a method applies here; if not, add a note."""
        if self.is_linear:
            self.note(value, f"{argument} has no effect in a linear evaluation")
            return False
        if not self.method_accepts(section, setting):
            self.note(value, f"{argument} has no effect for {self.method_name}")
            return False
        return True

    def method_accepts(self, section: str, setting: str) -> bool:
        """Return True if the method, its loss or one of its heads has a setting."""
        try:
            method = self.catalog.load("method", self.method_name)
        except PluginError:
            return True  # the missing method is reported later
        kind, _, head = section.partition(".")
        if kind == "head":
            return head in method.heads
        if kind == "method":
            return setting in method.Config.model_fields
        if kind == "loss":
            loss = method.recipe.get("loss", {}).get("name")
            return (
                loss is not None and setting in self.catalog.load("loss", loss).Config.model_fields
            )
        return True

    def absolute_path(self, value: ConfigValue) -> str:
        """Make a path absolute: from the working folder if it exists there, else from the file.

        Lightweight-SSL took paths from the working folder, ssl-host takes them from the file.
        """
        path = Path(str(value.raw)).expanduser()
        existing = path if path.exists() else self.path.parent / path
        return str(existing.absolute())

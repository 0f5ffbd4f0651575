"""State of the translation of one file: its values, notes and problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_host import Catalog, ConfigValue, PluginError, Problem
from ssl_plugin_lightweight_ssl.keys import FLAT, METHODS, Key

LINEAR = "linear_eval"
"""Name of the folder with files that describe a linear evaluation."""


class Translation:
    """State of the translation of one Lightweight-SSL file; translators add to it.

    Args:
        path: path of the file.
        source: values of the file, keyed by section and key.
        catalog: the installed components.

    Attributes:
        is_linear: True for a linear evaluation, False for pretraining.
        values: the translated values, keyed by ssl-host's section and key.
        notes: sentences about keys with no effect or a different meaning, with file and line.
        problems: the problems found in the file.
    """

    def __init__(self, path: Path, source: dict[Key, ConfigValue], catalog: Catalog) -> None:
        self.path = path
        self.source = source
        self.catalog = catalog
        self.is_linear = path.resolve().parent.name == LINEAR
        self.values: dict[Key, ConfigValue] = {}
        self.notes: list[str] = []
        self.problems: list[Problem] = []

    def put(self, section: str, key: str, raw: Any, source: ConfigValue, comment: str = "") -> None:
        """Set an ssl-host key, with the file and line of the value that it comes from.

        Args:
            section: section in ssl-host.
            key: key in ssl-host.
            raw: the translated value.
            source: the original value.
            comment: comment after a path; it is checked, because it may be the rest of the path.
        """
        is_text = isinstance(raw, str)
        self.values[section, key] = ConfigValue(raw, source.origin, is_text, comment=comment)

    def note(self, value: ConfigValue, text: str) -> None:
        """Add a note about a value, with its file and line."""
        self.notes.append(f"{value.origin}: {text}")

    def problem(self, value: ConfigValue, text: str) -> None:
        """Add a problem with a value, with its file and line."""
        self.problems.append(Problem(str(value.origin), text))

    @property
    def method_name(self) -> str:
        """Name of the file's SSL method in ssl-host."""
        name = str(self.source[FLAT, "ssl_method"].raw)
        return METHODS.get(name, name)

    @property
    def method_is_installed(self) -> bool:
        """True if an installed plugin provides the method; a missing one is reported later."""
        return self.method_name in self.catalog.names("method")

    @property
    def devices(self) -> Any:
        """Number or list of devices from ``compute_cfg``; the entry may be named ``device``."""
        compute = self.source.get((FLAT, "compute_cfg"))
        entries = compute.raw if compute is not None and isinstance(compute.raw, dict) else {}
        return entries.get("devices", entries.get("device", 1))

    def has_effect(self, argument: str, value: ConfigValue, section: str, setting: str) -> bool:
        """Return True if a method's argument has an effect in ssl-host; otherwise add a note."""
        if self.is_linear:
            self.note(value, f"{argument} has no effect in a linear evaluation")
            return False
        if not self.method_accepts(section, setting):
            self.note(value, f"{argument} has no effect for {self.method_name}")
            return False
        return True

    def method_accepts(self, section: str, setting: str) -> bool:
        """Return True if the method or its loss has a setting, or if the method has the head."""
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

    def has_setting(self, kind: str, name: str, setting: str) -> bool:
        """Return True if a component is installed and has a setting."""
        try:
            return setting in self.catalog.load(kind, name).Config.model_fields
        except PluginError:
            return False  # the missing component is reported later

    def checkpoint_path(self, value: ConfigValue) -> str:
        """Return the absolute path of a checkpoint; add a note if the checkpoint is missing.

        A relative path is looked up first in the working directory, as in Lightweight-SSL, and then
        in the folder of the configuration file, as in ssl-host. A missing checkpoint is an error
        only when the configuration is run.
        """
        path = Path(str(value.raw)).expanduser()
        existing = path if path.exists() else self.path.parent / path
        if not existing.exists():
            self.note(value, f"there is no checkpoint {path} on this machine")
        return str(existing.absolute())

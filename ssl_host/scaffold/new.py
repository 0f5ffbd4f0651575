"""Write the package of a new plugin from templates."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ssl_host import __version__
from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.discovery import did_you_mean
from ssl_host.contracts.kinds import KINDS
from ssl_host.errors import PluginError, UserError
from ssl_host.hookspecs import API_VERSION

PREFIX = "ssl-plugin-"
EXAMPLE = "my-idea"
METHOD_EXAMPLES = {
    "contrastive": KINDS["method"].example,
    "masked": "mean colours of masked patches",
    "teacher": "prototypes of an EMA teacher",
}
"""Summaries of the methods that a new method plugin can start from, keyed by ``--like``."""
METHOD_DISTRIBUTION = f"{PREFIX}simclr"
"""Distribution that provides the SSL method in ``config.ini`` of plugins without a method."""


@dataclass(frozen=True)
class NewPlugin:
    """Names of a new plugin, all of which follow from the name of its distribution.

    Attributes:
        distribution: name of the distribution, such as ``ssl-plugin-my-idea``.
        kind: kind of its only component.
        like: for a method, the kind of method to start from: a key of :data:`METHOD_EXAMPLES`.
    """

    distribution: str
    kind: str
    like: str = "contrastive"

    @property
    def template(self) -> str:
        """Start of the file names of the component's templates, such as ``method_masked``."""
        return self.kind if self.like == "contrastive" else f"{self.kind}_{self.like}"

    @property
    def summary(self) -> str:
        """One-line description of the component."""
        return METHOD_EXAMPLES[self.like] if self.kind == "method" else KINDS[self.kind].example

    @property
    def module(self) -> str:
        """Name of the Python package, such as ``ssl_plugin_my_idea``."""
        return self.distribution.replace("-", "_")

    @property
    def name(self) -> str:
        """Name of the component and of the entry point, such as ``my_idea``."""
        return self.distribution.removeprefix(PREFIX).replace("-", "_")

    @property
    def test_requirements(self) -> list[str]:
        """Other distributions that the plugin's tests and its ``config.ini`` need."""
        if self.kind != "method":
            return ["pytest", METHOD_DISTRIBUTION]
        return ["pytest", f"{PREFIX}timm"] if self.like == "masked" else ["pytest"]

    def class_name(self, used: set[str]) -> str:
        """Return the name of the class, such as ``MyIdea``.

        Args:
            used: names that occur in the template. A class name that is already used there gets the
                prefix ``My``.
        """
        camel = "".join(word.capitalize() for word in self.name.split("_"))
        if camel[0].isdigit() or keyword.iskeyword(camel) or camel in used:
            return f"My{camel}"
        return camel


def plan_plugin(name: str, kind: str, catalog: Catalog, like: str | None = None) -> NewPlugin:
    """Check the name and the kind of a new plugin, and return all of its names.

    Args:
        name: name of the distribution; the prefix ``ssl-plugin-`` is added if it is missing.
        kind: kind of the component.
        catalog: the installed components.
        like: for a method, the kind of method to start from; None means ``contrastive``.

    Raises:
        UserError: if the name is invalid, the kind is unknown, or ``like`` is given for a kind
            other than ``method``.
        PluginError: if an installed plugin or component already has the name.
    """
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"; the kinds are {', '.join(KINDS)}"
        raise UserError(f"unknown kind '{kind}'{hint}")
    if like is not None and kind != "method":
        raise UserError(f"--like {like} is for methods, but the kind is {kind}; remove --like")
    full = name if name.startswith(PREFIX) else PREFIX + name
    if not re.fullmatch(rf"{PREFIX}[a-z0-9]+(-[a-z0-9]+)*", full):
        stem = re.sub(r"^ssl[-_. ]plugin[-_. ]", "", name.lower())
        words = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")
        raise UserError(
            f"'{name}' is not a valid plugin name: after {PREFIX} it must consist of lower-case "
            f"letters and digits, with single hyphens between words; use {PREFIX}{words or EXAMPLE}"
        )
    new = NewPlugin(full, kind, like or "contrastive")
    _require_unused(new, catalog)
    return new


def _require_unused(new: NewPlugin, catalog: Catalog) -> None:
    """Raise PluginError if an installed plugin or component has the name of the new one."""
    for entry in catalog.entries(new.kind):
        if entry.name == new.name:
            raise PluginError(
                f"{new.kind} '{new.name}' is already registered by {entry.origin}; "
                "choose a different name"
            )
    for plugin in catalog.plugins:
        if new.name == plugin.origin.plugin or new.distribution == plugin.origin.distribution:
            raise PluginError(
                f"{plugin.origin} is already installed as plugin '{plugin.origin.plugin}'; "
                "choose a different name"
            )


def write_plugin(new: NewPlugin, parent: Path) -> tuple[Path, list[str]]:
    """Write the package of a new plugin into a new folder.

    Args:
        new: the names of the plugin.
        parent: folder in which the new folder is created.

    Returns:
        The new folder, and the sorted paths of the files in it, relative to that folder.

    Raises:
        UserError: if the folder is not empty or cannot be written.
    """
    folder = parent / new.distribution
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            problem = "is not empty" if folder.is_dir() else "is a file"
            raise UserError(
                f"{folder} {problem}; remove it, or choose a different folder with --dir"
            )
        files = dict(_files(new))
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; "
            "choose a different folder with --dir"
        ) from None
    return folder, sorted(files)


def _files(new: NewPlugin) -> Iterator[tuple[str, str]]:
    """Yield the path, relative to the plugin's folder, and the content of each file."""
    environment = Environment(
        loader=PackageLoader("ssl_host.scaffold", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, f"{new.template}.py.jinja")
    major, minor = __version__.split(".")[:2]
    values = {
        "distribution": new.distribution,
        "module": new.module,
        "name": new.name,
        "cls": new.class_name(set(re.findall(r"\w+", source))),
        "kind": new.kind,
        "article": "An" if new.kind[0] in "aeiou" else "A",
        "like": new.like,
        "summary": new.summary,
        "hook": KINDS[new.kind].hook,
        "api": API_VERSION,
        "needs": next((r for r in new.test_requirements if r != "pytest"), ""),
        "host": f">={major}.{minor},<{int(major) + 1}",
    }
    templates = {
        ".gitignore": "gitignore.jinja",
        "pyproject.toml": "pyproject.toml.jinja",
        "README.md": "README.md.jinja",
        "config.ini": "config.ini.jinja",
        f"{new.module}/__init__.py": "__init__.py.jinja",
        f"{new.module}/{new.kind}.py": f"{new.template}.py.jinja",
        f"tests/test_{new.name}.py": f"test_{new.template}.py.jinja",
    }
    yield f"{new.module}/py.typed", ""
    for path, template in templates.items():
        yield path, environment.get_template(template).render(values)

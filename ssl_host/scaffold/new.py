"""Writes the package of a new plugin."""

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
EXAMPLE = f"{PREFIX}my-idea"
METHOD = f"{PREFIX}simclr"
"""The distribution whose method the configurations of all other kinds name."""


@dataclass(frozen=True)
class NewPlugin:
    """A plugin that is to be written. Everything is called after its distribution.

    Attributes:
        distribution: as pip calls it, ``ssl-plugin-my-idea``.
        kind: of its one component.
    """

    distribution: str
    kind: str

    @property
    def module(self) -> str:
        """As Python calls it, ``ssl_plugin_my_idea``."""
        return self.distribution.replace("-", "_")

    @property
    def name(self) -> str:
        """As INI files call the component, ``my_idea``; the entry point's name too."""
        return self.distribution.removeprefix(PREFIX).replace("-", "_")

    @property
    def needed_to_test(self) -> list[str]:
        """What its tests and its configuration need besides: pytest, and a method to work with."""
        return ["pytest"] if self.kind == "method" else ["pytest", METHOD]

    def cls(self, taken: set[str]) -> str:
        """The class, ``MyIdea``; ``MyLoss`` for what would hide one of the names taken."""
        camel = "".join(word.capitalize() for word in self.name.split("_"))
        if camel[0].isdigit() or keyword.iskeyword(camel) or camel in taken:
            return f"My{camel}"
        return camel


def plan(name: str, kind: str, catalog: Catalog) -> NewPlugin:
    """Check the name and the kind against the rules and against what is installed.

    Args:
        name: of the distribution, with or without ``ssl-plugin-``.

    Raises:
        UserError: for a name that no plugin may have, or an unknown kind.
        PluginError: when an installed plugin has the name already.
    """
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS)
        raise UserError(f"unknown kind '{kind}'{hint}; kinds are {', '.join(KINDS)}")
    full = name if name.startswith(PREFIX) else PREFIX + name
    if not re.fullmatch(rf"{PREFIX}[a-z0-9]+(-[a-z0-9]+)*", full):
        stem = re.sub(r"^ssl[-_. ]plugin[-_. ]", "", name.lower())
        near = PREFIX + re.sub(r"[^a-z0-9]+", "-", stem).strip("-")
        raise UserError(
            f"'{name}' cannot be a plugin's name: {PREFIX} is followed by lower-case letters and "
            f"digits, in words joined by single hyphens; take {EXAMPLE if near == PREFIX else near}"
        )
    new = NewPlugin(full, kind)
    _refuse_taken(new, catalog)
    return new


def _refuse_taken(new: NewPlugin, catalog: Catalog) -> None:
    for entry in catalog.entries(new.kind):
        if entry.name == new.name:
            raise PluginError(
                f"{new.kind} '{new.name}' is registered by {entry.origin} already, and two of one "
                "name exclude each other; take another name"
            )
    for plugin in catalog.plugins:
        if new.name == plugin.origin.plugin or new.distribution == plugin.origin.distribution:
            raise PluginError(
                f"{plugin.origin} is installed as plugin '{plugin.origin.plugin}' already, and "
                f"{new.distribution} would take its place; take another name"
            )


def write(new: NewPlugin, parent: Path) -> tuple[Path, list[str]]:
    """Write the package into a folder of its own.

    Args:
        parent: where that folder is made.

    Returns:
        The folder, and the files in it, sorted.

    Raises:
        UserError: when the folder holds something already, or cannot be written.
    """
    folder = parent / new.distribution
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "holds files already" if folder.is_dir() else "is a file"
            raise UserError(f"{folder} {what}; remove it, or choose another place by --dir")
        files = dict(_files(new))
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}; choose another place by --dir"
        ) from None
    return folder, sorted(files)


def _files(new: NewPlugin) -> Iterator[tuple[str, str]]:
    environment = Environment(
        loader=PackageLoader("ssl_host.scaffold", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, f"{new.kind}.py.jinja")
    major, minor = __version__.split(".")[:2]
    values = {
        "distribution": new.distribution,
        "module": new.module,
        "name": new.name,
        "cls": new.cls(taken=set(re.findall(r"\w+", source))),
        "kind": new.kind,
        "article": "An" if new.kind[0] in "aeiou" else "A",
        "summary": KINDS[new.kind].example,
        "hook": KINDS[new.kind].hook,
        "api": API_VERSION,
        "needs": METHOD if new.kind != "method" else "",
        "host": f">={major}.{minor},<{int(major) + 1}",
    }
    places = {
        ".gitignore": "gitignore.jinja",
        "pyproject.toml": "pyproject.toml.jinja",
        "README.md": "README.md.jinja",
        "config.ini": "config.ini.jinja",
        f"{new.module}/__init__.py": "__init__.py.jinja",
        f"{new.module}/{new.kind}.py": f"{new.kind}.py.jinja",
        f"tests/test_{new.name}.py": f"test_{new.kind}.py.jinja",
    }
    yield f"{new.module}/py.typed", ""
    for place, template in places.items():
        yield place, environment.get_template(template).render(values)

"""Find the data source that reads a file or folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.registry import Entry, error_location
from ssl_host.errors import DataError, PluginError


def find_source(path: str | Path, catalog: Catalog | None = None) -> tuple[str, dict[str, Any]]:
    """Return the name of the data source that reads a path, and settings with which it does.

    Every installed source is asked with :meth:`DataSource.settings_for_path`; no image is read.

    Args:
        path: path of a folder or a file, or a pattern such as ``train-{000..003}.tar``.
        catalog: registry of the installed plugins; built by default.

    Returns:
        The source's name and its settings, such as ``("imagefolder", {"root": path})``.

    Raises:
        DataError: when the path does not exist, or none or several of the sources read it.
        PluginError: when a source fails; the message names it and the line.
    """
    path = Path(path)
    catalog = catalog or Catalog()
    if not path.exists() and not re.search(r"[*?\[{]", path.name):
        raise DataError(f"{path}: no such file or folder")
    found: dict[str, dict[str, Any]] = {}
    broken: list[str] = []
    for name in catalog.names("data"):
        try:
            source = catalog.load("data", name)
        except PluginError as error:  # the other sources may read the path
            broken.append(str(error))
            continue
        settings = _settings_for_path(source, catalog.find("data", name), path)
        if settings is not None:
            found[name] = settings
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        first = next(iter(found))
        raise DataError(
            f"{path}: several data sources read it: {', '.join(found)}; choose one with "
            f"`--data NAME`, such as `--data {first}`"
        )
    raise DataError(_no_source_message(path, catalog, broken))


def _settings_for_path(source: Any, entry: Entry, path: Path) -> dict[str, Any] | None:
    """Return settings with which a data source reads a path, or None.

    Raises:
        PluginError: when the source raises an error.
    """
    try:
        settings = source.settings_for_path(path)
        return None if settings is None else dict(settings)
    except Exception as error:
        raise PluginError(
            f"{entry.describe()} failed in settings_for_path({str(path)!r}): "
            f"{type(error).__name__}: {error} ({error_location(error, source.__module__)})"
        ) from error


def _no_source_message(path: Path, catalog: Catalog, broken: list[str]) -> str:
    """Return the message for a path that no data source reads."""
    content = ""
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir())[:3]
        content = f", which contains {', '.join(names)}" if names else ", which is empty"
    text = (
        f"{path}: none of the installed data sources reads it{content}; choose one of "
        f"{', '.join(catalog.names('data'))} with `--data NAME` and its settings with "
        "`-o data.KEY=VALUE`, or install the plugin for this format"
    )
    return "; ".join([text, *broken])

"""A resolved configuration for people's eyes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ssl_host.config.run_config import RunConfig


def rows(config: RunConfig) -> Iterator[dict[str, str]]:
    """Every value with its section, key, origin (layer and place) and description."""
    for (section, key), shown in config.entries.items():
        place = _near(str(shown.origin))
        layer = shown.origin.layer
        yield {
            "section": section,
            "key": key,
            "value": shown.text,
            "layer": layer,
            "origin": "" if place == layer else place,
            "description": shown.description,
        }


def _near(place: str) -> str:
    """A path relative to the working folder, where it lies below it."""
    here = f"{Path.cwd()}/"
    return place.removeprefix(here)


def lines(config: RunConfig, describe: bool = False) -> Iterator[str]:
    """The same as INI text, each value followed by where it came from.

    Args:
        describe: add what each value means.
    """
    found = list(rows(config))
    width = min(44, max(len(f"{row['key']} = {row['value']}") for row in found))
    current = ""
    for row in found:
        if row["section"] != current:
            yield f"\n[{row['section']}]" if current else f"[{row['section']}]"
            current = row["section"]
        if describe:
            yield f"# {row['description']}"
        origin = " ".join(filter(None, (row["layer"], row["origin"])))
        yield f"{row['key']} = {row['value']}".ljust(width) + f"  # {origin}"

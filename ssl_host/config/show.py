"""A resolved configuration for people's eyes."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from ssl_host.config.resolved import Resolved


def rows(config: Resolved) -> Iterator[dict[str, str]]:
    """Every value with its section, key, origin (layer and place) and description."""
    for (section, key), shown in config.shown.items():
        place = str(shown.origin)
        layer = shown.origin.layer
        yield {
            "section": section,
            "key": key,
            "value": shown.text,
            "layer": layer,
            "origin": place if place != layer else "",
            "description": shown.description,
        }


def table(config: Resolved) -> Table:
    """The same for the terminal."""
    view = Table("value", "from", "what it is", box=None, pad_edge=False)
    current = ""
    for row in rows(config):
        if row["section"] != current:
            current = row["section"]
            view.add_row(f"[bold]\\[{current}][/]", "", "")
        origin = f"{row['layer']} {row['origin']}".strip()
        value = row["value"].replace("[", "\\[")
        view.add_row(f"{row['key']} = {value}", origin.replace("[", "\\["), row["description"])
    return view

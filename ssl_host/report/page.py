"""Write ``report.html``, the report of a run: one file that can be opened offline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ssl_host.config.display import config_rows
from ssl_host.config.run_config import RunConfig
from ssl_host.report.curves import draw_charts, read_curves
from ssl_host.report.ranking import Ranking
from ssl_host.report.render import HOST_PACKAGE, render_page
from ssl_host.report.summary import summarize
from ssl_host.toolkit.atomic_io import atomic_write_text


def write_page(
    folder: Path,
    results: Mapping[str, Any],
    config: RunConfig,
    ranking: Ranking,
    sections: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write ``report.html`` from the files in a run's folder, and return its path.

    Args:
        folder: folder of the run; the page is written there.
        results: the content of ``results.json``.
        config: configuration of the run.
        ranking: the epochs that measures without labels would choose.
        sections: title and HTML of each section that a plugin adds; the HTML is not escaped.
    """
    pictures = read_json(folder / "report.json")
    page = render_page(
        HOST_PACKAGE,
        "run.html",
        title=results["name"],
        results=results,
        summary=summarize(results),
        ranking=ranking,
        charts=draw_charts(_curves_of_run(results["name"], folder), results.get("figures", {})),
        pictures=pictures,
        map_json=Markup(_json_for_script(pictures.get("map"))),
        config=list(config_rows(config)),
        environment=read_json(folder / "environment.json"),
        sections=[(title, Markup(html)) for title, html in sections],
    )
    return atomic_write_text(folder / "report.html", page)


def _curves_of_run(name: str, folder: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return the curves of a run, and the chance level of its loss as the curve of a second run."""
    curves = read_curves(folder)
    chance = curves.pop("chance_loss", None)
    return {name: curves} | ({} if chance is None else {"chance level": {"loss": chance}})


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or an empty dict if the file is missing or damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def _json_for_script(value: Any) -> str:
    """Return a value as JSON for a script element, escaped so that it cannot close the element."""
    return json.dumps(value).replace("<", "\\u003c").replace("&", "\\u0026")

"""``report.html``: one file that opens offline."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ssl_host.config.display import config_rows
from ssl_host.config.run_config import RunConfig
from ssl_host.report.charts import Points, line_chart
from ssl_host.report.summary import BASELINES, accuracies, other_figures, per_cent, verdict
from ssl_host.toolkit.atomic_io import atomic_write_text


def write_page(
    folder: Path,
    results: Mapping[str, Any],
    config: RunConfig,
    sections: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write ``report.html`` from what a run's folder holds.

    Args:
        sections: titles and HTML of plugins, put in as they stand.
    """
    curves = read_curves(folder)
    pictures = read_json(folder / "report.json")
    page = render(
        "page.html",
        title=results["name"],
        results=results,
        rows=accuracies(results["metrics"]),
        others=other_figures(results["metrics"]),
        verdict=verdict(results["metrics"]),
        baselines=BASELINES,
        charts=draw_charts({results["name"]: curves}),
        pictures=pictures,
        map_json=Markup(_script_safe(pictures.get("map"))),
        config=list(config_rows(config)),
        environment=read_json(folder / "environment.json"),
        sections=[(title, Markup(html)) for title, html in sections],
    )
    return atomic_write_text(folder / "report.html", page)


def render(template: str, **values: Any) -> str:
    """A page that stands alone, from one of the templates."""
    # Everything is escaped but what is Markup: names of files and classes are anybody's.
    environment = Environment(
        loader=PackageLoader("ssl_host.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["per_cent"] = per_cent
    environment.filters["breakable"] = breakable
    return environment.get_template(template).render(**values)


def breakable(name: str) -> Markup:
    """A name that a narrow column may break between its words, and nowhere in a number."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])(?=[^\W\d_])", name))


CURVES = (
    ("Loss", "loss", False),
    ("Online accuracy on training batches", "online_top1", True),
    ("Learning rate", "learning_rate", False),
    ("Spread of the features (0 is a collapse)", "feature_std", False),
    ("EMA decay", "ema_decay", False),
)
"""Title, column of ``metrics.csv``, and whether it is a fraction."""


def draw_charts(curves: Mapping[str, Mapping[str, Points]]) -> list[tuple[str, Markup]]:
    """Titles and charts of the curves that there are, all runs in one.

    Args:
        curves: by run and column.
    """
    drawn = []
    for title, name, percent in CURVES:
        series = {run: found.get(name, ()) for run, found in curves.items()}
        if chart := line_chart(series, "step", percent):
            drawn.append((title, chart))
    return drawn


def read_curves(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """The columns of a run's ``metrics.csv`` over its steps."""
    curves: dict[str, list[tuple[float, float]]] = {}
    path = folder / "metrics.csv"
    if not path.exists():
        return curves
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name not in ("step", None) and isinstance(text, str) and text:
                    curves.setdefault(name, []).append((float(row["step"]), float(text)))
    return curves


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _script_safe(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it closes the element."""
    return json.dumps(value).replace("<", "\\u003c").replace("&", "\\u0026")

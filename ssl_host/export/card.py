"""The card of an exported backbone: what it is, how it is loaded, what its figures are worth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ssl_host import __version__
from ssl_host.config.ini import read_ini
from ssl_host.contracts.networks import Backbone
from ssl_host.errors import RunFolderError
from ssl_host.export.formats import Format, called
from ssl_host.report.summary import BASELINES, accuracies, other_figures, per_cent, verdict
from ssl_host.run_folder.folder import RunFolder

CARD = "README.md"
MARK = "<!-- written by ssl-host export -->"
"""Tells a card from a README of somebody's own."""
_SETTINGS = {
    "run": ("seed", "epochs", "batch_size"),
    # The other keys of a source are paths and such: a card is for everybody.
    "data": ("name", "image_size"),
}
"""Sections of which a card shows these keys alone."""
_TRAINING = ("method", "backbone", "augmentation", "head", "loss", "optimizer", "scheduler")
"""Kinds of sections that a card shows whole."""
_COSTS = ("throughput.", "peak_")


@dataclass(frozen=True)
class Facts:
    """What a finished run's folder says of its backbone.

    Attributes:
        results: ``results.json``.
        environment: ``environment.json``.
        settings: of ``config.ini``, what decided the weights, by section.
        notes: of ``results.json``, with paths as short as they are of use to others.
    """

    results: Mapping[str, Any]
    environment: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, str]]
    notes: Sequence[str]

    def properties(self, backbone: Backbone) -> dict[str, str]:
        """For a format's own metadata: what has to be known to use the file, as text."""
        size = backbone.image_size
        return {
            "input": f"normalised float32 images B {backbone.in_channels} {size} {size}: "
            "(pixels / 255 - mean) / std",
            "output": f"features B {backbone.feature_dim}",
            "mean": json.dumps(list(backbone.mean)),
            "std": json.dumps(list(backbone.std)),
            "image_size": str(size),
            "method": str(self.results["method"]),
            "data": str(self.results["data"]),
            "ssl_host": __version__,
        }


def read_facts(run: Path) -> Facts:
    """Read a run's folder.

    Raises:
        RunFolderError: when it is no run's, or the run is not finished.
    """
    folder = RunFolder(run)
    results = folder.finished()
    settings: dict[str, dict[str, str]] = {}
    notes = [str(note) for note in results.get("notes", ())]
    for (section, key), value in read_ini(folder.config_file, "run folder")[0].items():
        if section.split(".")[0] in _TRAINING or key in _SETTINGS.get(section, ()):
            settings.setdefault(section, {})[key] = str(value.raw)
        path = Path(str(value.raw))
        if path.is_absolute() and path.name:
            notes = [note.replace(str(path), path.name) for note in notes]
    return Facts(results, _json(run / "environment.json"), settings, notes)


def write_card(
    file: Path, facts: Facts, backbone: Backbone, chosen: Format, said: Mapping[str, Any]
) -> None:
    """Write the card.

    Args:
        said: what the format has to say of its files.
    """
    metrics = facts.results["metrics"]
    figures = {k: v for k, v in other_figures(metrics).items() if not k.startswith(_COSTS)}
    environment = Environment(  # Markdown, and code in it: nothing is escaped
        loader=PackageLoader("ssl_host.export", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["per_cent"] = per_cent
    text = environment.get_template("card.md.jinja").render(
        mark=MARK,
        facts=facts,
        results=facts.results,
        backbone=backbone,
        called=called(backbone, facts.results["backbone"]),
        format=chosen,
        rows=accuracies(metrics),
        figures=figures,
        verdict=verdict(metrics),
        baselines=BASELINES,
        **said,
    )
    file.write_text(text, encoding="utf-8")


def _json(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from None
    return found

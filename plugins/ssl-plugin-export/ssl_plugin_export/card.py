"""Write the model card of an exported backbone: its usage, input, metrics and training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ssl_host import (
    Backbone,
    ModelCard,
    RunFolder,
    RunFolderError,
    __version__,
    read_ini_layer,
    summarize,
)

CARD = "README.md"
"""File name of a model card."""
MARK = "<!-- written by ssl-host export -->"
"""Line in each model card that distinguishes it from a README that a user wrote."""
_SHOWN_KEYS = {
    "run": ("seed", "epochs", "batch_size"),
    # The other keys of a data source, such as paths, have no meaning on other machines.
    "data": ("name", "image_size"),
}
"""Maps each section that a card shows in part to the keys that it shows."""
_SHOWN_KINDS = ("method", "backbone", "augmentation", "head", "loss", "optimizer", "scheduler")
"""Kinds of the sections that a card shows completely."""
_SQUARE = {
    "crop": "the centred square, resized to {size}",
    "squash": "the whole image, resized to {size} regardless of its proportions",
    "pad": "the whole image, padded with black bars and resized to {size}",
}
"""Maps ``[data] fit`` of the run to a description of the network's input."""
_COSTS = ("throughput.", "peak_")
"""Prefixes of metrics that describe the machine instead of the backbone."""


@dataclass(frozen=True)
class RunDescription:
    """Facts about a finished run that a model card shows.

    Attributes:
        results: the content of ``results.json``.
        environment: the content of ``environment.json``.
        settings: the settings that determine the weights, as text, keyed by section and key.
        notes: the notes from the results, with file names in place of absolute paths.
    """

    results: Mapping[str, Any]
    environment: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, str]]
    notes: Sequence[str]

    def properties(self, backbone: Backbone) -> dict[str, str]:
        """Return the backbone's input, output and origin as text that exporters store in files."""
        size = backbone.image_size
        pixels = "pixels / 255"
        if backbone.value_range is not None:
            low, high = backbone.value_range
            pixels = f"(pixels - {low:g}) / ({high:g} - {low:g}), clipped to 0 and 1,"
        return {
            "input": f"normalised float32 images B {backbone.in_channels} {size} {size}: "
            f"({pixels} - mean) / std",
            "output": f"features B {backbone.feature_dim}",
            "mean": json.dumps(list(backbone.mean)),
            "std": json.dumps(list(backbone.std)),
            "image_size": str(size),
            "fit": backbone.fit,
            "value_range": json.dumps(backbone.value_range),
            "method": str(self.results["method"]),
            "data": str(self.results["data"]),
            "ssl_host": __version__,
        }


def read_run(run: Path) -> RunDescription:
    """Return the facts about a finished run from its folder, or from its folder ``best``.

    Raises:
        RunFolderError: when the folder is not a run folder, or the run is not finished.
    """
    is_part_of_run = not (run / "config.ini").exists() and (run.parent / "results.json").exists()
    if is_part_of_run and (run / "backbone.json").exists():
        run = run.parent
    results = RunFolder(run).finished()
    settings: dict[str, dict[str, str]] = {}
    notes = [str(note) for note in results.get("notes", ())]
    for (section, key), value in read_ini_layer(run / "config.ini").values.items():
        if section.split(".")[0] in _SHOWN_KINDS or key in _SHOWN_KEYS.get(section, ()):
            settings.setdefault(section, {})[key] = str(value.raw)
        path = Path(str(value.raw))
        if path.is_absolute() and path.name:
            notes = [note.replace(str(path), path.name) for note in notes]
    return RunDescription(results, _read_json(run / "environment.json"), settings, notes)


def write_card(
    file: Path, run: RunDescription, backbone: Backbone, label: str, card: ModelCard
) -> None:
    """Write a model card as Markdown.

    Args:
        file: path of the card.
        run: the finished run.
        backbone: the exported network.
        label: name of the backbone for use in a sentence, such as ``timm's resnet18``.
        card: content of the card that depends on the exported format.
    """
    summary = summarize(run.results)
    environment = Environment(  # the output is Markdown, so nothing is escaped
        loader=PackageLoader("ssl_plugin_export", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template("card.md.jinja").render(
        mark=MARK,
        run=run,
        results=run.results,
        backbone=backbone,
        label=label,
        card=card,
        square=_SQUARE[backbone.fit].format(size=f"{backbone.image_size} × {backbone.image_size}"),
        summary=summary,
        others=[row for row in summary.others if not row.name.startswith(_COSTS)],
    )
    file.write_text(text, encoding="utf-8")


def _read_json(file: Path) -> dict[str, Any]:
    """Return the content of a JSON file from the run folder.

    Raises:
        RunFolderError: when the file cannot be read or is not valid JSON.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from None
    return content

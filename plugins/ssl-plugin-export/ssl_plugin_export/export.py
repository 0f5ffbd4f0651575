"""Export a finished run: write files to a temporary folder, then move them into place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ssl_host import Backbone, Catalog, Exporter, UserError, attribute_errors, load_backbone
from ssl_plugin_export.card import CARD, MARK, RunDescription, read_run, write_card
from ssl_plugin_export.formats import describe_backbone, find_exporter

FOLDER = "export"
"""Name of the folder for exports in a run's folder."""
DESCRIPTION = "backbone.json"
"""Name of the file that describes the network, so that ssl-host can load exported weights."""
_FILE_SUFFIXES = (".onnx", ".safetensors", ".pth", ".pt")


def export_run(
    run: Path,
    to: str,
    catalog: Catalog,
    output: Path | None = None,
    force: bool = False,
    options: Sequence[str] = (),
) -> list[Path]:
    """Write the backbone of a finished run in an exporter's format, with a model card.

    Args:
        run: path of the run's folder.
        to: name of an exporter, or of the library that the backbone comes from.
        catalog: the installed components.
        output: folder to write; None writes ``export/FORMAT`` in the run's folder.
        force: True replaces the files of an earlier export.
        options: settings of the exporter, each as ``key=value``.

    Returns:
        The paths of the written files, the model card last.

    Raises:
        UserError: when the run is not finished, the backbone cannot be written in this format, or
            the folder cannot be used.
        RunError: when the weights are damaged or the conversion fails.
    """
    description = read_run(run)
    backbone = load_backbone(run, catalog)
    component = str(description.results["backbone"])
    exporter = find_exporter(to, backbone, component, catalog, options)
    folder = output or run / FOLDER / to
    _check_output(folder, exporter, force)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # On the same file system, so each move is atomic and a failure leaves no files behind.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as name:
            staging = Path(name)
            _write_files(exporter, backbone, description, run, staging)
            folder.mkdir(exist_ok=True)
            return [file.replace(folder / file.name) for file in _card_last(staging)]
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}; choose a different "
            "folder with --output"
        ) from None


def _write_files(
    exporter: Exporter, backbone: Backbone, description: RunDescription, run: Path, folder: Path
) -> None:
    """Write the exporter's files, the description of the network and the model card."""
    with attribute_errors(exporter, "while exporting"):
        card = exporter.write(backbone, folder, description.properties(backbone))
    if any(folder.glob("*.safetensors")):
        shutil.copyfile(run / DESCRIPTION, folder / DESCRIPTION)
    label = describe_backbone(backbone, str(description.results["backbone"]))
    write_card(folder / CARD, description, backbone, label, card)


def _check_output(folder: Path, exporter: Exporter, force: bool) -> None:
    """Raise UserError if a path cannot be an export folder, or files in it would be lost."""
    if folder.suffix in _FILE_SUFFIXES:
        raise UserError(
            f"--output {folder}: an export is a folder with {exporter.main_file} and a model "
            f"card; use --output {folder.with_suffix('')}"
        )
    try:
        in_use = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError:
        in_use = False  # writing to it will report the reason
    if in_use and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose a different folder with --output")
    if in_use and not _may_replace(folder / CARD):
        raise UserError(
            f"{folder / CARD} was not written by an export and would be lost; choose a "
            "different folder with --output"
        )
    if in_use and not force:
        raise UserError(
            f"{folder} contains files; replace those of an earlier export with --force, or choose "
            "a different folder with --output"
        )


def _may_replace(card: Path) -> bool:
    """Return True if a model card does not exist or was written by an export."""
    try:
        return MARK in card.read_text("utf-8", "replace")
    except OSError:
        return True  # it does not exist, or writing it will report the reason


def _card_last(folder: Path) -> list[Path]:
    """Return the files of a folder sorted by name, the model card last."""
    return sorted(folder.iterdir(), key=lambda file: (file.name == CARD, file.name))

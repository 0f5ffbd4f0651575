"""Export of a finished run: check the output folder, write the files, move them into place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ssl_host import Backbone, Catalog, Exporter, UserError, attribute_errors, load_backbone
from ssl_plugin_export.card import CARD, MARK, RunDescription, read_run, write_card
from ssl_plugin_export.formats import describe_backbone, find_exporter

FOLDER = "export"
"""Folder for exports in a run's folder."""
DESCRIPTION = "backbone.json"
"""Describes the network, so that ssl-host can load exported weights."""
_FILE_SUFFIXES = (".onnx", ".safetensors", ".pth", ".pt")


def export_run(
    run: Path,
    to: str,
    catalog: Catalog,
    output: Path | None = None,
    force: bool = False,
    options: Sequence[str] = (),
) -> list[Path]:
    """Write the backbone of a finished run for another program, with a model card.

    Args:
        run: the run's folder.
        to: the format: name of an exporter, or of the library that the backbone comes from.
        catalog: the installed components.
        output: the folder to write; default ``export/FORMAT`` in the run's folder.
        force: replace the files of an earlier export.
        options: settings of the exporter, as ``key=value``.

    Returns:
        The written files, the card last.

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
        # In the same file system, so that each file is moved at once and a failure leaves nothing.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as name:
            staging = Path(name)
            _write_files(exporter, backbone, description, run, staging)
            folder.mkdir(exist_ok=True)
            return [file.replace(folder / file.name) for file in _card_last(staging)]
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}; choose another folder with "
            "--output"
        ) from None


def _write_files(
    exporter: Exporter, backbone: Backbone, description: RunDescription, run: Path, folder: Path
) -> None:
    with attribute_errors(exporter, "while exporting"):
        card = exporter.write(backbone, folder, description.properties(backbone))
    if any(folder.glob("*.safetensors")):
        shutil.copyfile(run / DESCRIPTION, folder / DESCRIPTION)
    label = describe_backbone(backbone, str(description.results["backbone"]))
    write_card(folder / CARD, description, backbone, label, card)


def _check_output(folder: Path, exporter: Exporter, force: bool) -> None:
    if folder.suffix in _FILE_SUFFIXES:
        raise UserError(
            f"--output {folder}: an export is a folder, with {exporter.main_file} and its card; "
            f"use --output {folder.with_suffix('')}"
        )
    try:
        in_use = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError:
        in_use = False  # writing reports the reason
    if in_use and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another folder with --output")
    if in_use and not _may_replace(folder / CARD):
        raise UserError(
            f"{folder / CARD} was not written by an export and would be lost; choose another "
            "folder with --output"
        )
    if in_use and not force:
        raise UserError(
            f"{folder} contains files; replace those of an earlier export with --force, or choose "
            "another folder with --output"
        )


def _may_replace(card: Path) -> bool:
    try:
        return MARK in card.read_text("utf-8", "replace")
    except OSError:
        return True  # it does not exist, or writing reports the reason


def _card_last(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda file: (file.name == CARD, file.name))

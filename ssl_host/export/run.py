"""From a run's folder to an export's: checked, written beside, moved into place."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ssl_host.catalog.catalog import Catalog
from ssl_host.errors import UserError
from ssl_host.export.card import CARD, MARK, read_facts, write_card
from ssl_host.export.formats import ONNX, Format, format_of
from ssl_host.weights import ABOUT, load_backbone

FOLDER = "export"
"""Where exports stand in a run's folder."""


def export_run(
    run: Path, to: str, catalog: Catalog, output: Path | None = None, force: bool = False
) -> list[Path]:
    """Write a finished run's backbone for another program, with its card.

    Args:
        run: the run's folder.
        to: the format: ``onnx``, ``huggingface``, or the library that the backbone is of.
        output: the folder to write; by default ``export/FORMAT`` in the run's.
        force: write over an earlier export's files.

    Returns:
        What was written, the card last.

    Raises:
        UserError: when the run is not finished, cannot be written so, or the folder is in the way.
        RunError: when the weights are damaged, or the network cannot be written as ONNX.
    """
    facts = read_facts(run)
    backbone = load_backbone(run, catalog)
    chosen = format_of(to, backbone, facts.results["backbone"])
    folder = output or run / FOLDER / to
    _check_place(folder, chosen, force)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside, so that each file is moved in one piece and a failure leaves nothing behind.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as place:
            stage = Path(place)
            said = chosen.write(backbone, stage, facts.properties(backbone))
            if chosen.name != ONNX:
                shutil.copyfile(run / ABOUT, stage / ABOUT)
            write_card(stage / CARD, facts, backbone, chosen, said)
            folder.mkdir(exist_ok=True)
            return [file.replace(folder / file.name) for file in _card_last(stage)]
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}; choose another folder with "
            "--output"
        ) from None


def _check_place(folder: Path, chosen: Format, force: bool) -> None:
    if folder.suffix in (".onnx", ".safetensors", ".pth", ".pt"):
        raise UserError(
            f"--output {folder}: an export is a folder, with {chosen.weights} and its card; "
            f"take --output {folder.with_suffix('')}"
        )
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError:
        taken = False  # writing tells what is wrong with it
    if taken and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another folder with --output")
    if taken and not _may_replace(folder / CARD):
        raise UserError(
            f"{folder / CARD} does not say that an export wrote it, and would be lost; choose "
            "another folder with --output"
        )
    if taken and not force:
        raise UserError(
            f"{folder} holds files already; --force writes over those of an export, or choose "
            "another folder with --output"
        )


def _may_replace(card: Path) -> bool:
    try:
        return MARK in card.read_text("utf-8", "replace")
    except OSError:
        return True  # there is none, or writing tells what is wrong with it


def _card_last(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda file: (file.name == CARD, file.name))

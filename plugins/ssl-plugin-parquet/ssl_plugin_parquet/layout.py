"""Which files of a folder are to train on, and which are held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ssl_host import DataError, RecordSource, find_files
from ssl_plugin_parquet.tables import SUFFIXES


def split_files(setting: str, place: Path) -> tuple[list[Path], list[Path]]:
    """The files of a folder, a file or a pattern: to train on, and held out.

    Raises:
        DataError: when there are none, or those of several data sets.
    """
    if (place / "state.json").is_file():
        return _saved(place), []
    if (place / "dataset_dict.json").is_file():
        return _saved_splits(setting, place)
    files = find_files(setting, place, SUFFIXES)
    strange = [path for path in files if path.suffix not in SUFFIXES]
    if strange:
        raise DataError(
            f"[data] {setting} = {place}: {strange[0].name} is no {' or '.join(SUFFIXES)} file"
        )
    if not place.is_dir():
        return files, []
    train, test = RecordSource.split_files(files, place)
    return _of_one_set(setting, place, train), test


def _saved(folder: Path) -> list[Path]:
    """The files of a ``Dataset.save_to_disk``, in the order that it says."""
    state = read_json(folder / "state.json")
    try:
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (KeyError, TypeError):
        raise DataError(f"[data] {folder / 'state.json'}: lists no files") from None
    if state.get("_indices_data_files"):
        raise DataError(
            f"[data] {folder}: was saved with a choice of rows beside it, as old releases of "
            "datasets did; load and save it again"
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not names:
        raise DataError(f"[data] {folder}: {(missing or ['data'])[0]} is missing; copy it again")
    return [folder / name for name in names]


def _saved_splits(setting: str, folder: Path) -> tuple[list[Path], list[Path]]:
    """The splits of a ``DatasetDict.save_to_disk``."""
    about = read_json(folder / "dataset_dict.json")
    names = about.get("splits", []) if isinstance(about, dict) else []
    found = {RecordSource.split_word(str(name)): folder / str(name) for name in names}
    if "train" not in found:
        raise DataError(
            f"[data] {setting} = {folder}: no split is called train, only {', '.join(names)}; set "
            f"{setting} to the folder of one"
        )
    held_out = found.get("val", found.get("test"))
    return _saved(found["train"]), [] if held_out is None else _saved(held_out)


def _of_one_set(setting: str, place: Path, train: list[Path]) -> list[Path]:
    """A snapshot of the hub has a folder for each configuration: they are different data sets."""
    folders = sorted({str(path.parent.relative_to(place)) for path in train})
    named = [path for path in train if RecordSource.split_word(path.name.split("-")[0])]
    if len(folders) > 1 and named:
        raise DataError(
            f"[data] {setting} = {place}: several folders have files to train on: "
            f"{', '.join(folders[:5])}; set {setting} to one of them"
        )
    if not train:
        raise DataError(f"[data] {setting} = {place}: no file is to train on, all are held out")
    return train


def read_json(file: Path) -> Any:
    """A small JSON file.

    Raises:
        DataError: when it is damaged.
    """
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(f"[data] {file}: is damaged: {error}; copy or write it again") from None

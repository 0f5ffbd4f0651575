"""Divide the files of a folder into training files and test files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ssl_host import DataError, RecordSource, find_files
from ssl_plugin_parquet.tables import SUFFIXES


def split_files(key: str, path: Path) -> tuple[list[Path], list[Path]]:
    """Return the training files and the test files for a folder, a file or a pattern.

    Args:
        key: name of the setting, for error messages.
        path: value of the setting.

    Raises:
        DataError: when there are no training files, a file is missing or has another format, or the
            files belong to several data sets.
    """
    if (path / "state.json").is_file():
        return _saved_files(path), []
    if (path / "dataset_dict.json").is_file():
        return _saved_splits(key, path)
    files = find_files(key, path, SUFFIXES)
    others = [file for file in files if file.suffix not in SUFFIXES]
    if others:
        raise DataError(
            f"[data] {key} = {path}: {others[0].name} is not a {' or '.join(SUFFIXES)} file"
        )
    if not path.is_dir():
        return files, []
    train, test = RecordSource.split_files(files, path)
    _require_one_dataset(key, path, train)
    return train, test


def _saved_files(folder: Path) -> list[Path]:
    """Return the files that ``Dataset.save_to_disk`` wrote, in the order of ``state.json``.

    Raises:
        DataError: when ``state.json`` is damaged, a file is missing, or rows were selected without
            being copied.
    """
    state = read_json(folder / "state.json")
    try:
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (KeyError, TypeError):
        raise DataError(
            f"[data] {folder / 'state.json'}: does not list files; copy the folder again, or save "
            "the dataset again"
        ) from None
    if state.get("_indices_data_files"):
        raise DataError(
            f"[data] {folder}: has a separate selection of rows, as old releases of datasets "
            "wrote; load the dataset and save it again"
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not names:
        raise DataError(
            f"[data] {folder}: {(missing or ['data'])[0]} is missing; copy the folder again"
        )
    return [folder / name for name in names]


def _saved_splits(key: str, folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the training and test files that ``DatasetDict.save_to_disk`` wrote.

    Raises:
        DataError: when there is no training split, or a split is damaged.
    """
    content = read_json(folder / "dataset_dict.json")
    names = content.get("splits", []) if isinstance(content, dict) else []
    splits = {RecordSource.split_word(str(name)): folder / str(name) for name in names}
    if "train" not in splits:
        raise DataError(
            f"[data] {key} = {folder}: has no split 'train', only {', '.join(names)}; set {key} to "
            "the folder of a split"
        )
    test = splits.get("val", splits.get("test"))
    return _saved_files(splits["train"]), [] if test is None else _saved_files(test)


def _require_one_dataset(key: str, path: Path, train: list[Path]) -> None:
    """Check that there are training files and that all of them belong to one dataset.

    A snapshot from the Hub may contain several dataset configurations, each in its own folder.

    Raises:
        DataError: when there are no training files, or they belong to several datasets.
    """
    folders = sorted({str(file.parent.relative_to(path)) for file in train})
    named = [file for file in train if RecordSource.split_words(file.name)[0]]
    if len(folders) > 1 and named:
        raise DataError(
            f"[data] {key} = {path}: several folders have training files: "
            f"{', '.join(folders[:5])}; set {key} to one of them"
        )
    if not train:
        raise DataError(f"[data] {key} = {path}: has no training files, only test files")


def read_json(file: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DataError: when the file is not valid JSON.
    """
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(
            f"[data] {file}: is not valid JSON ({error}); copy or write it again"
        ) from None

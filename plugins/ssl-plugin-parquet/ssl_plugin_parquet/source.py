"""The data source ``[data] name = parquet``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ssl_host import DataError, Records, RecordSource, has_files
from ssl_plugin_parquet.columns import class_names, find_image_column, find_label_column
from ssl_plugin_parquet.images import ColumnImages
from ssl_plugin_parquet.layout import split_files
from ssl_plugin_parquet.tables import SUFFIXES, Table, check_column, read_table, read_values


class Parquet(RecordSource):
    """Images in Parquet files, or in a dataset that Hugging Face's ``datasets`` saved to disk.

    * ``dataset.save_to_disk(root)``: Arrow files with ``state.json``, one folder per split if
      there are splits;
    * a snapshot from the Hub: files such as ``data/train-00000-of-00002.parquet``;
    * any Parquet file or pattern with a column of encoded images, bytes or ``{bytes, path}``.

    The test images are the ``validation`` split, or else the ``test`` split; without either, the
    host holds out a fraction of the images. Labels are text or integers; -1, NaN and null stand for
    no label. ``ClassLabel`` provides the class names. Images are read when they are needed: one by
    one from Arrow files, in row groups from Parquet files.
    """

    class Config(RecordSource.Config):
        root: Path = Field(
            description="path of a folder or a file, or a pattern such as train-{00..03}.parquet"
        )
        test: Path | None = Field(
            None,
            description="folder, file or pattern of the test images; default: the validation or "
            "test split in root",
        )
        image_column: str | None = Field(
            None, description="name of the column with images; default: found by name and type"
        )
        label_column: str | None = Field(
            None,
            description="name of the column with labels; default: label or labels, or else the "
            "first ClassLabel column",
        )

    config: Config

    @classmethod
    def settings_for_path(cls, path: Path) -> Mapping[str, Any] | None:
        return {"root": path} if has_files(path, SUFFIXES) else None

    def records(self, held_out: bool) -> Records | None:
        root = self.config.root
        train, test = split_files("root", root)
        files = test if held_out else train
        if held_out and self.config.test is not None:
            root = self.config.test
            files, _ = split_files("test", root)
        if not files:
            return None
        tables = [read_table(path) for path in files]
        image = find_image_column(tables[0], self.config.image_column)
        label = None
        if self.config.labelled is not False:
            label = find_label_column(tables[0], self.config.label_column)
        _check_columns(tables, [image] if label is None else [image, label])
        folder = root if root.is_dir() else root.parent
        images = ColumnImages(tables, image, self.channels, folder)
        if len(images) == 0:
            raise DataError(f"[data] {root}: {files[0].name} has no rows")
        is_pattern = not held_out and not root.is_dir()
        notes = self.pattern_notes(root, files) if is_pattern else []
        if label is None:
            return Records(images, location=str(root), notes=notes)
        names = class_names(tables[0], label)
        values = [value for table in tables for value in _read_labels(table, label, names)]
        return Records(images, values, names, str(root), notes, label)


def _read_labels(table: Table, column: str, names: Sequence[str] | None) -> list[Any]:
    """Return the labels in a file, as class names if ``names`` is given; None if missing.

    Raises:
        DataError: when the file is damaged, or a label has no class name.
    """
    values = read_values(table, column)
    if names is None or any(isinstance(value, str) for value in values):
        return values
    for row, value in enumerate(values):
        if value is not None and not -1 <= value < len(names):
            raise DataError(
                f"[data] {table.path}:{column}[{row}]: label {value} has no class name: the file "
                f"names only {len(names)} classes; write it again with all class names"
            )
    return [None if value is None or value < 0 else names[value] for value in values]


def _check_columns(tables: Sequence[Table], columns: Sequence[str]) -> None:
    """Check that all files contain the given columns, and that no column is damaged.

    Raises:
        DataError: when a column is missing or a file is damaged.
    """
    for table in tables:
        for column in columns:
            if column not in table.schema.names:
                raise DataError(
                    f"[data] {table.path}: no column {column}, but {tables[0].path.name} has one"
                )
            check_column(table, column)

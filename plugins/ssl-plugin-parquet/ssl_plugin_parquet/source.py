"""``[data] name = parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ssl_host import DataError, Records, RecordSource
from ssl_plugin_parquet.columns import class_names, image_column, label_column
from ssl_plugin_parquet.images import ColumnImages
from ssl_plugin_parquet.layout import split_files
from ssl_plugin_parquet.tables import Table, check_column, read_table, read_values


class Parquet(RecordSource):
    """Parquet files, or a dataset of Hugging Face's ``datasets`` on disk, in either layout.

    * ``dataset.save_to_disk(root)``: Arrow files with ``state.json``, in a folder a split where
      there are splits;
    * a snapshot of the hub: ``data/train-00000-of-00002.parquet`` and its like;
    * any parquet file or pattern with a column of encoded images, bytes or ``{bytes, path}``.

    ``validation``, or else ``test``, is held out; without either the host cuts a part. A label is
    text or a whole number, and is called as ``ClassLabel`` says. Each image is read when it is
    needed: out of an Arrow file at once, out of a parquet file with the row group it is in.
    """

    class Config(RecordSource.Config):
        root: Path = Field(
            description="the folder, or a file, or a pattern such as train-{000..003}.parquet"
        )
        test: Path | None = Field(
            None, description="folder, file or pattern to hold out; default: by the files' names"
        )
        image_column: str | None = Field(
            None, description="column of the images; default: the Image feature, or image, or img"
        )
        label_column: str | None = Field(
            None, description="column of the labels; default: label, or the first ClassLabel"
        )

    def records(self, held_out: bool) -> Records | None:
        place = Path(self.config.root)
        train, test = split_files("root", place)
        files = test if held_out else train
        if held_out and self.config.test is not None:
            place = Path(self.config.test)
            files, _ = split_files("test", place)
        if not files:
            return None
        tables = [read_table(path) for path in files]
        image = image_column(tables[0], self.config.image_column)
        label = label_column(tables[0], self.config.label_column)
        _check(tables, [image] if label is None else [image, label])
        images = ColumnImages(
            tables, image, self.channels, place if place.is_dir() else place.parent
        )
        if len(images) == 0:
            raise DataError(f"[data] {place}: {files[0].name} has no rows")
        if label is None or self.config.labelled is False:
            return Records(images, location=str(place))
        names = class_names(tables[0], label)
        values = [value for table in tables for value in _labels(table, label, names)]
        return Records(images, values, names, str(place))


def _labels(table: Table, column: str, names: Sequence[str] | None) -> list[Any]:
    """Labels of a file; -1 is how ``ClassLabel`` says that there is none."""
    values = read_values(table, column)
    if names is None or any(isinstance(value, str) for value in values):
        return values
    for row, value in enumerate(values):
        if value is not None and not -1 <= value < len(names):
            raise DataError(
                f"[data] {table.path}:{column}[{row}]: label {value}, and there are names for "
                f"{len(names)} classes"
            )
    return [None if value is None or value < 0 else names[value] for value in values]


def _check(tables: Sequence[Table], columns: Sequence[str]) -> None:
    for table in tables:
        for column in columns:
            if column not in table.schema.names:
                raise DataError(
                    f"[data] {table.path}: no column {column}, which {tables[0].path.name} has"
                )
            check_column(table, column)

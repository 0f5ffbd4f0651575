"""Data source ``csv``: images and labels listed in a CSV file."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from ssl_host import DataError, FileImages, Records, RecordSource
from ssl_host.builtin.sources.table_paths import PathFinder, windows_drive

_DELIMITERS = ",;\t|"
_USUAL_NAMES = {
    "label": {"labels", "class", "classes", "category", "target", "targets", "y"},
    "split": {"splits", "set", "subset", "partition", "fold", "phase"},
}
"""Names of columns that may contain labels or splits, in lower case."""


class _Row(NamedTuple):
    """Row of the table: line number, and path, label and split of the image.

    The label or the split is empty if the table has no such column.
    """

    line: int
    path: Path
    label: str
    split: str


class CSVTable(RecordSource):
    """Images listed in a CSV file, which has a header and one row for each image.

    The columns are:

    * ``path``: path of the image, absolute or relative to ``root``; ``\\`` is read as ``/``, and
      wrong case or a missing suffix is accepted, with a note, if only one file matches;
    * ``label``: text or a whole number; an image with an empty label, ``nan``, ``none`` or ``-1``
      has no label; without this column there are no labels;
    * ``split``: ``train``, ``val`` or ``test``; without this column and without ``test_file``, the
      host holds out some images.

    Columns are separated by commas, semicolons, tabs or vertical bars. Their names are not
    case-sensitive. The encoding is UTF-8.
    """

    class Config(RecordSource.Config):
        file: Path = Field(description="CSV file that lists the images")
        root: Path | None = Field(
            None,
            description="folder that paths are relative to; default: the folder of the CSV file",
        )
        test_file: Path | None = Field(None, description="CSV file that lists the held-out images")
        path_column: str = Field(
            "path", min_length=1, description="name of the column that contains the paths"
        )
        label_column: str | None = Field(
            None,
            description="name of the column that contains the labels; default: label, if it exists",
        )
        split_column: str | None = Field(
            None,
            description="name of the column that contains the splits; default: split, if it exists",
        )

    @classmethod
    def settings_for_path(cls, path: Path) -> Mapping[str, Any] | None:
        is_table = path.is_file() and path.suffix.lower() in (".csv", ".tsv")
        return {"file": path} if is_table else None

    def records(self, held_out: bool) -> Records | None:
        config = self.config
        table = _Table(config.file, config.path_column, config.label_column, config.split_column)
        rows, notes = self._read(table)
        if held_out and config.test_file is not None:
            training_paths = {row.path for row in self._rows_of_split(table, rows, False)}
            table = _Table(config.test_file, config.path_column, config.label_column, None)
            rows, notes = self._read(table)
            for row in rows:
                if row.path in training_paths:
                    raise table.error(row.line, f"{row.path} is also a training image")
        elif table.has_splits:
            rows = self._rows_of_split(table, rows, held_out)
        elif held_out:
            return None
        if not rows:
            return None
        root = self._root(table.file)
        images = FileImages([row.path for row in rows], channels=self.channels, root=root)
        labels = [row.label for row in rows] if table.has_labels else None
        return Records(
            images,
            labels,
            location=str(table.file),
            notes=[*notes, *table.notes()],
            label_name=table.label_name,
        )

    def _root(self, file: Path) -> Path:
        """Return the absolute path of the folder that paths in the table are relative to."""
        return Path(os.path.normpath(Path(self.config.root or file.parent).absolute()))

    def _rows_of_split(self, table: _Table, rows: list[_Row], held_out: bool) -> list[_Row]:
        """Return the training rows, or the held-out rows: ``val`` if present, else ``test``.

        All rows are returned if the table has no splits.

        Raises:
            DataError: if a split is unknown or there are no training rows.
        """
        if not table.has_splits:
            return rows
        splits = [self.split_word(row.split) for row in rows]
        for row, split in zip(rows, splits, strict=True):
            if split is None:
                raise table.error(row.line, f"split {row.split!r} is not one of train, val, test")
        if "train" not in splits:
            raise table.error(1, "no row has the split 'train'")
        requested = "train" if not held_out else "val" if "val" in splits else "test"
        return [row for row, split in zip(rows, splits, strict=True) if split == requested]

    def _read(self, table: _Table) -> tuple[list[_Row], list[str]]:
        """Return the rows of a table with absolute paths, and notes about corrected paths.

        Raises:
            DataError: if a path is invalid or listed twice.
        """
        root = self._root(table.file)
        prefix = str(root / "x")[:-1]
        finder = PathFinder(root)
        rows: dict[str, _Row] = {}
        files: dict[tuple[int, int], int] = {}
        for line, text, label, split in table.rows():
            if not text or "\0" in text:
                raise table.error(
                    line, "has no path" if not text else "has a NUL character in its path"
                )
            path = finder.find(text)
            if windows_drive(path) and not os.path.lexists(root / path):
                raise table.error(
                    line,
                    f"{text} is a Windows path; use paths relative to [data] root",
                )
            full_path = os.path.normpath(root / path)
            # A relative path must not lead to files outside the root; an absolute path may.
            if not full_path.startswith(prefix) and not Path(path).is_absolute():
                raise table.error(
                    line,
                    f"path {path!r} leads out of {root}; set [data] root to the folder that "
                    "contains all images, or use an absolute path",
                )
            if full_path in rows:
                raise table.error(line, f"{path} is already listed on line {rows[full_path].line}")
            with contextlib.suppress(OSError):  # a missing file is reported when it is read
                info = os.stat(full_path)  # noqa: PTH116 - no Path for each file
                # A second link to a file would repeat a training image or also hold it out.
                first = files.setdefault((info.st_dev, info.st_ino), line)
                if first != line:
                    raise table.error(line, f"{path} is the same file as the one on line {first}")
            rows[full_path] = _Row(line, Path(full_path), label, split)
        if not rows:
            raise table.error(1, "has a header but no rows")
        return list(rows.values()), finder.notes(str(table.file))


class _Table:
    """Content of a CSV file, with the positions of its path, label and split columns.

    Raises:
        DataError: if the file cannot be read or if a requested column is missing. The message
            names the file and, if known, the line.
    """

    def __init__(self, file: Path, path: str, label: str | None, split: str | None) -> None:
        self.file = Path(file)
        self.text = self._text()
        headers = {delimiter: self._header(delimiter) for delimiter in _DELIMITERS}
        self.delimiter = next(
            (d for d in _DELIMITERS if path.lower() in map(str.lower, headers[d])), ","
        )
        self.header = headers[self.delimiter]
        self.columns = [
            self._column("path", path),
            self._column("label", label),
            self._column("split", split),
        ]
        self.has_labels, self.has_splits = (column >= 0 for column in self.columns[1:])

    def error(self, line: int, message: str) -> DataError:
        """Return a DataError with the file and the line in front of the message."""
        return DataError(f"[data] {self.file}:{line}: {message}")

    @property
    def label_name(self) -> str:
        """Name of the column with the labels; empty if there is none."""
        return self.header[self.columns[1]] if self.has_labels else ""

    def notes(self) -> list[str]:
        """Return notes about unused columns that may contain labels or splits."""
        notes = []
        for setting, is_present in (("label", self.has_labels), ("split", self.has_splits)):
            usual = _USUAL_NAMES[setting]
            name = next((name for name in self.header if name.lower() in usual), None)
            if not is_present and name is not None:
                notes.append(
                    f"{self.file}: the column {name!r} is not used; if it contains the {setting}s, "
                    f"set [data] {setting}_column = {name}"
                )
        return notes

    def rows(self) -> Iterator[tuple[int, str, str, str]]:
        """Yield line number, path, label and split of each row; missing columns are empty text.

        Raises:
            DataError: if a row does not have as many fields as the header.
        """
        for line, cells in itertools.islice(self._records(), 1, None):  # skip the header
            if len(cells) != len(self.header):
                raise self.error(
                    line, f"has {len(cells)} fields, but the header has {len(self.header)}"
                )
            path, label, split = (cells[i] if i >= 0 else "" for i in self.columns)
            yield line, path, label.strip(), split

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the first line number and the cells of each record, including the header.

        Quoted cells may span several lines. A quote that is not closed raises DataError.
        """
        reader = csv.reader(
            io.StringIO(self.text, newline=""),
            delimiter=self.delimiter,
            skipinitialspace=True,
            strict=True,
        )
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            is_unclosed = "end of data" in str(error)
            message = "a quotation mark is not closed" if is_unclosed else str(error)
            raise self.error(line, message) from None

    def _text(self) -> str:
        """Return the content of the file as text; raise DataError if it is empty or unreadable."""
        try:
            content = self.file.read_bytes()
        except FileNotFoundError:
            raise DataError(f"[data] {self.file}: no such file") from None
        except OSError as error:
            raise DataError(f"[data] {self.file}: cannot be read: {error.strerror}") from None
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise self.error(line, f"is not UTF-8: {error.reason}") from None
        if not text.strip():
            raise DataError(f"[data] {self.file}: is empty")
        return text

    def _header(self, delimiter: str) -> list[str]:
        """Return the column names in the first line, split at ``delimiter``."""
        # Cut at the first newline before splitlines, because the table may be long.
        first = self.text.lstrip().split("\n", 1)[0].splitlines()[:1]
        try:
            return [name.strip() for name in next(csv.reader(first, delimiter=delimiter), [])]
        except csv.Error as error:
            raise self.error(1, f"the header cannot be read: {error}") from None

    def _column(self, default: str, requested: str | None) -> int:
        """Return the position of a column, or -1 if it is missing and was not requested.

        Upper and lower case are ignored if only one column matches. A requested column that is
        missing or ambiguous raises DataError.
        """
        name = requested or default
        if name in self.header:
            return self.header.index(name)
        found = [i for i, column in enumerate(self.header) if column.lower() == name.lower()]
        if len(found) == 1:
            return found[0]
        if requested is None and not found:
            return -1
        columns = ", ".join(repr(self.header[i]) for i in found or range(len(self.header)))
        problem = f"has no column {name!r}; the columns are {columns}"
        if found:
            problem = f"several columns match {name!r} if case is ignored: {columns}"
        raise self.error(1, f"{problem}; set [data] {default}_column to one of them")

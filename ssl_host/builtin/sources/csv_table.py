"""A table of paths and labels."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from ssl_host import DataError, FileImages, Records, RecordSource

_DELIMITERS = ",;\t|"


class _Row(NamedTuple):
    line: int
    path: Path
    label: str
    split: str


class CSVTable(RecordSource):
    """A CSV file with a header and a row an image: its path and, perhaps, label and split.

    * ``path``: relative to ``root``, or absolute;
    * ``label``: text or a whole number; without such a column there are no labels;
    * ``split``: ``train`` and ``val`` or ``test``; without it, and without ``test_file``, the host
      cuts a held-out part.

    Commas, semicolons, tabs or bars between the columns; UTF-8.
    """

    class Config(RecordSource.Config):
        file: Path = Field(description="the CSV file")
        root: Path | None = Field(
            None, description="folder that the paths begin from; default: the CSV file's"
        )
        test_file: Path | None = Field(
            None, description="another CSV file, of the images to hold out"
        )
        path_column: str = Field("path", min_length=1, description="column of the paths")
        label_column: str | None = Field(
            None, description="column of the labels; default: label, where there is one"
        )
        split_column: str | None = Field(
            None, description="column of the splits; default: split, where there is one"
        )

    def records(self, held_out: bool) -> Records | None:
        config = self.config
        table = _Table(config.file, config.path_column, config.label_column, config.split_column)
        rows = self._read(table)
        if held_out and config.test_file is not None:
            trained = {row.path: row for row in self._chosen(table, rows, False)}
            table = _Table(config.test_file, config.path_column, config.label_column, None)
            rows = self._read(table)
            for row in rows:
                if row.path in trained:
                    raise table.fault(row.line, f"{row.path} is among the training images")
        elif table.has_splits:
            rows = self._chosen(table, rows, held_out)
        elif held_out:
            return None
        if not rows:
            return None
        root = self._root(table.file)
        images = FileImages([row.path for row in rows], channels=self.channels, root=root)
        labels = [row.label for row in rows] if table.has_labels else None
        return Records(images, labels, location=str(table.file))

    def _root(self, file: Path) -> Path:
        """Absolute, so that ``..`` shows."""
        return Path(os.path.normpath(Path(self.config.root or file.parent).absolute()))

    def _chosen(self, table: _Table, rows: list[_Row], held_out: bool) -> list[_Row]:
        """The rows of a split: of ``val`` before ``test`` for what is held out."""
        if not table.has_splits:
            return rows
        words = [self.split_word(row.split) for row in rows]
        for row, word in zip(rows, words, strict=True):
            if word is None:
                raise table.fault(row.line, f"split {row.split!r} is none of train, val, test")
        if "train" not in words:
            raise table.fault(1, "no row has the split train")
        wanted = "train" if not held_out else "val" if "val" in words else "test"
        return [row for row, word in zip(rows, words, strict=True) if word == wanted]

    def _read(self, table: _Table) -> list[_Row]:
        root = self._root(table.file)
        within = str(root / "x")[:-1]
        found: dict[str, _Row] = {}
        for line, path, label, split in table.rows():
            if not path or "\0" in path:
                raise table.fault(line, "has no path" if not path else "has a NUL in its path")
            whole = os.path.normpath(root / path)
            # A folder of images never leads out of itself; neither does a table, unless it says
            # plainly where to.
            if not whole.startswith(within) and not Path(path).is_absolute():
                raise table.fault(
                    line,
                    f"path {path!r} leads out of {root}; set [data] root to the folder that holds "
                    "all images, or write it as an absolute path",
                )
            if whole in found:
                raise table.fault(line, f"{path} is in line {found[whole].line} already")
            found[whole] = _Row(line, Path(whole), label, split)
        if not found:
            raise table.fault(1, "has a header and no rows")
        return list(found.values())


class _Table:
    """One CSV file and where its columns are.

    Raises:
        DataError: with file and line, for a file that is none, or lacks a column that is named.
    """

    def __init__(self, file: Path, path: str, label: str | None, split: str | None) -> None:
        self.file = Path(file)
        self.text = self._text()
        headers = {delimiter: self._header(delimiter) for delimiter in _DELIMITERS}
        self.delimiter = next((d for d in _DELIMITERS if path in headers[d]), ",")
        self.header = headers[self.delimiter]
        self.places = [
            self._column("path", path),
            self._column("label", label),
            self._column("split", split),
        ]
        self.has_labels, self.has_splits = (place >= 0 for place in self.places[1:])

    def fault(self, line: int, what: str) -> DataError:
        """An error that names the line."""
        return DataError(f"[data] {self.file}:{line}: {what}")

    def rows(self) -> Iterator[tuple[int, str, str, str]]:
        """Line, path, label and split of every row; empty text for a column that is not there."""
        for line, cells in itertools.islice(self._records(), 1, None):  # below the header
            if len(cells) != len(self.header):
                raise self.fault(
                    line, f"has {len(cells)} fields, and the header has {len(self.header)}"
                )
            path, label, split = (cells[at] if at >= 0 else "" for at in self.places)
            yield line, path, label.strip(), split

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The line where each record begins, for quoted cells may span lines, and its cells."""
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
            closed = "end of data" not in str(error)
            told = str(error) if closed else "a quotation mark here is never closed"
            raise self.fault(line, told) from None

    def _text(self) -> str:
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
            raise self.fault(line, f"is not UTF-8: {error.reason}") from None
        if not text.strip():
            raise DataError(f"[data] {self.file}: is empty")
        return text

    def _header(self, delimiter: str) -> list[str]:
        first = self.text.lstrip().splitlines()[0]
        try:
            return [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
        except csv.Error as error:
            raise self.fault(1, f"is no header of a table: {error}") from None

    def _column(self, usual: str, named: str | None) -> int:
        """A column's place, or -1 for one that nobody has named and that is not there."""
        name = named or usual
        if name in self.header:
            return self.header.index(name)
        if named is None:
            return -1
        raise self.fault(
            1,
            f"no column is called {name!r}, only {', '.join(map(repr, self.header))}; set [data] "
            f"{usual}_column",
        )

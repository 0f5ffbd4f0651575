"""Parquet and Arrow files: their rows, their schema, and reading a column of some rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ssl_host import DataError

SUFFIXES = (".parquet", ".arrow")

_GROUPS_KEPT = 4
"""Row groups that stay decompressed: packing goes through them in order, by several threads."""


class Table(NamedTuple):
    """A file and what it says of itself.

    Attributes:
        path: of the file.
        written: when, in nanoseconds: what was read of it before is not taken for what it is now.
        group_rows: rows of each row group (parquet) or record batch (Arrow).
        schema: names and types of the columns.
    """

    path: Path
    written: int
    group_rows: tuple[int, ...]
    schema: Any


def read_table(path: Path) -> Table:
    """What a file says of itself; no image is read.

    Raises:
        DataError: when it is damaged or something else.
    """
    with damage_told(path):
        written = path.stat().st_mtime_ns
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                about, schema = file.metadata, file.schema_arrow
                rows = [about.row_group(k).num_rows for k in range(about.num_row_groups)]
        else:
            batches = _batches(path, written, os.getpid())
            schema = _mapped(path, written, os.getpid()).schema
            rows = [len(batch) for batch in batches]
        str(schema)  # names that are no text are found here
        return Table(path, written, tuple(rows), schema)


def check_column(table: Table, column: str) -> None:
    """See that a column's values lie within its file; pyarrow would end the process over it.

    Of images only their places are looked at. Parquet files are checked when they are decoded.

    Raises:
        DataError: when the file is damaged.
    """
    if table.path.suffix != ".parquet":
        with damage_told(table.path):
            mapped = _mapped(table.path, table.written, os.getpid())
            mapped.column(column).validate(full=True)


def read_values(table: Table, column: str) -> list[Any]:
    """A column of all rows, as Python's values.

    Raises:
        DataError: when the file is damaged.
    """
    with damage_told(table.path):
        if table.path.suffix == ".parquet":
            found = pq.read_table(table.path, columns=[column], partitioning=None)
        else:
            found = _mapped(table.path, table.written, os.getpid())
        values: list[Any] = found.column(column).to_pylist()
        return values


def read_value(table: Table, column: str, group: int, row: int) -> Any:
    """A column of one row of a row group, as Python's value.

    Files are opened in every process anew, and an Arrow file is memory-mapped. Of a parquet file
    the whole row group is decompressed, and the last few stay.

    Raises:
        pa.ArrowException, OSError, ValueError: for a file that is damaged.
    """
    process = os.getpid()
    if table.path.suffix != ".parquet":
        batch = _batches(table.path, table.written, process)[group]
        return batch.column(column)[row].as_py()
    with _lock(process):  # else all threads read the same row group
        found = _row_group(table.path, table.written, column, group, process)
    return found[row].as_py()


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Any of pyarrow's errors as one of ours, with the file's name."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"[data] {path}: is damaged, or no {path.suffix[1:]} file ({first}); copy or write it "
            "again"
        ) from None


@lru_cache(maxsize=_GROUPS_KEPT)
def _row_group(path: Path, _written: int, column: str, group: int, _process: int) -> Any:
    with pq.ParquetFile(path, memory_map=True) as file:
        # pyarrow's threads do not survive a fork.
        return file.read_row_group(group, [column], use_threads=False).column(0)


@lru_cache(maxsize=256)
def _batches(path: Path, written: int, process: int) -> list[Any]:
    batches: list[Any] = _mapped(path, written, process).to_batches()
    return batches


@lru_cache(maxsize=256)
def _mapped(path: Path, _written: int, _process: int) -> Any:
    """An Arrow file, in either of its forms; it takes no memory until it is read."""
    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_file(source).read_all()


@lru_cache(maxsize=1)
def _lock(_process: int) -> Lock:
    """A process's own: a lock that another thread held at a fork is never released."""
    return Lock()

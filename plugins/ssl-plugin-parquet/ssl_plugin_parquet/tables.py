"""Read the schema, row groups and columns of parquet and Arrow files."""

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
"""File suffixes of the two supported formats."""

_CACHED_GROUPS = 4
"""Number of decompressed row groups that are cached, because threads read several at a time."""


class Table(NamedTuple):
    """Path and structure of a Parquet or Arrow file.

    Attributes:
        path: path of the file.
        mtime_ns: modification time in nanoseconds, so that a replaced file is read again.
        group_rows: number of rows of each row group (Parquet) or record batch (Arrow).
        schema: pyarrow schema with the names and types of the columns.
    """

    path: Path
    mtime_ns: int
    group_rows: tuple[int, ...]
    schema: Any


def read_table(path: Path) -> Table:
    """Return the structure of a file, without reading its images.

    Raises:
        DataError: when the file is damaged or has a different format.
    """
    with report_damage(path):
        mtime_ns = path.stat().st_mtime_ns
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                metadata, schema = file.metadata, file.schema_arrow
                rows = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
        else:
            batches = _record_batches(path, mtime_ns, os.getpid())
            schema = _map_file(path, mtime_ns, os.getpid()).schema
            rows = [len(batch) for batch in batches]
        str(schema)  # raises if a name is not valid text
        return Table(path, mtime_ns, tuple(rows), schema)


def check_column(table: Table, column: str) -> None:
    """Check the offsets in a column of an Arrow file; pyarrow could crash on damaged offsets.

    Image data is not checked. Parquet files are checked later, when they are decoded.

    Raises:
        DataError: when the file is damaged.
    """
    if table.path.suffix != ".parquet":
        with report_damage(table.path):
            mapped = _map_file(table.path, table.mtime_ns, os.getpid())
            mapped.column(column).validate(full=True)


def read_values(table: Table, column: str) -> list[Any]:
    """Return all values of a column as a list of Python values.

    Raises:
        DataError: when the file is damaged.
    """
    with report_damage(table.path):
        if table.path.suffix == ".parquet":
            rows = pq.read_table(table.path, columns=[column], partitioning=None)
        else:
            rows = _map_file(table.path, table.mtime_ns, os.getpid())
        values: list[Any] = rows.column(column).to_pylist()
        return values


def read_value(table: Table, column: str, group: int, row: int) -> Any:
    """Return the value in one row of a row group as a Python value.

    Each process opens the files separately. Arrow files are memory-mapped; from a Parquet file the
    whole row group is decompressed and cached.

    Raises:
        ArrowException: when the file is damaged; pyarrow may also raise OSError or ValueError.
    """
    process = os.getpid()
    if table.path.suffix != ".parquet":
        batch = _record_batches(table.path, table.mtime_ns, process)[group]
        return batch.column(column)[row].as_py()
    with _process_lock(process):  # otherwise every thread would decompress the same row group
        values = _read_row_group(table.path, table.mtime_ns, column, group, process)
    return values[row].as_py()


@contextmanager
def report_damage(path: Path) -> Iterator[None]:
    """Convert pyarrow exceptions in this context to a DataError that names the file.

    Raises:
        DataError: when the file is damaged or has a different format.
    """
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"[data] {path}: is damaged or is not a valid {path.suffix} file ({first}); copy or "
            "write it again"
        ) from None


@lru_cache(maxsize=_CACHED_GROUPS)
def _read_row_group(path: Path, _mtime_ns: int, column: str, group: int, _process: int) -> Any:
    """Return one column of a Parquet file's row group, decompressed and cached."""
    with pq.ParquetFile(path, memory_map=True) as file:
        # Do not use pyarrow's threads, because they do not survive a fork.
        return file.read_row_group(group, [column], use_threads=False).column(0)


@lru_cache(maxsize=256)
def _record_batches(path: Path, mtime_ns: int, process: int) -> list[Any]:
    """Return the record batches of a memory-mapped Arrow file."""
    batches: list[Any] = _map_file(path, mtime_ns, process).to_batches()
    return batches


@lru_cache(maxsize=256)
def _map_file(path: Path, _mtime_ns: int, _process: int) -> Any:
    """Return a memory-mapped table from an Arrow file in the stream or the file format."""
    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_file(source).read_all()


@lru_cache(maxsize=1)
def _process_lock(_process: int) -> Lock:
    """Return this process's lock; a lock held during a fork would never be released."""
    return Lock()

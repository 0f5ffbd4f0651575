"""Read images from one column of Parquet or Arrow files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ssl_host import EncodedImages, UnreadableImage
from ssl_plugin_parquet.tables import Table, read_value


class ColumnImages(EncodedImages):
    """Dataset of the images in one column of several files, in the order of their rows.

    Args:
        tables: structures of the files.
        column: name of the column; it contains bytes, or ``{bytes, path}`` as in ``datasets``.
        channels: number of channels of the returned images, 3 or 1.
        root: folder to which file names in messages are relative.
    """

    def __init__(self, tables: Sequence[Table], column: str, channels: int, root: Path) -> None:
        self.tables = [table._replace(schema=None) for table in tables]
        self.column = column
        self.channels = channels
        self.root = root
        groups = [(t, g) for t, table in enumerate(tables) for g in range(len(table.group_rows))]
        self._groups = np.array(groups, np.int64).reshape(-1, 2)
        rows = [rows for table in tables for rows in table.group_rows]
        self._group_ends = np.cumsum(np.array(rows, np.int64))
        self._table_ends = np.array([sum(table.group_rows) for table in tables]).cumsum()

    def __len__(self) -> int:
        return int(self._group_ends[-1]) if len(self._group_ends) else 0

    def path(self, i: int) -> Path:
        return self._locate(i)[0].path

    def name(self, i: int) -> str:
        path = self._locate(i)[0].path
        relative = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        table = int(np.searchsorted(self._table_ends, i, side="right"))
        first = int(self._table_ends[table - 1]) if table else 0
        return f"{relative}:{self.column}[{i - first}]"

    def encoded(self, i: int) -> bytes:
        table, group, row = self._locate(i)
        try:
            value = read_value(table, self.column, group, row)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UnreadableImage(f"the file is damaged: {error}") from None
        content = value.get("bytes") if isinstance(value, dict) else value
        if isinstance(content, bytes):
            return content
        path = value.get("path") if isinstance(value, dict) else None
        raise UnreadableImage(f"only the path is stored: {path}" if path else "no bytes are stored")

    def _locate(self, i: int) -> tuple[Table, int, int]:
        """Return where an image is stored: the file, the row group, and the row in that group."""
        k = int(np.searchsorted(self._group_ends, i, side="right"))
        table, group = self._groups[k].tolist()
        first = int(self._group_ends[k - 1]) if k else 0
        return self.tables[table], group, i - first
